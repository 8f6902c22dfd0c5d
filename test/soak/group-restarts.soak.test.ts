/**
 * Daemons that are killed and links that are cut at random moments of group migrations: wherever the group ends up, it is whole,
 * and every write is in its place.
 *
 * `npm run test:soak`; GODWIT_SOAK_COUNT=10 for so many. A line for each run goes to stdout; a failure names the seed, and
 * GODWIT_SOAK_SEED=N runs it again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { GROUP_ORDERS } from '../../src/api/group-migration-schema.ts';
import { requireCapability } from '../support/capability.ts';
import { type ReachedHost, restart } from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { LinkProxy } from '../support/link-proxy.ts';
import { SharingGroup } from '../support/sharing-group.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const COUNT = Number(process.env['GODWIT_SOAK_COUNT'] ?? 100);
const SEED = Number(process.env['GODWIT_SOAK_SEED'] ?? Date.now() % 2 ** 31);
const DISASTERS = ['source', 'destination', 'both', 'link'] as const;
const MODES = ['auto', 'pre-copy', 'post-copy'] as const;
/** Some are over by then. */
const LATEST_MS = 2000;
const LONGEST_CUT_MS = 2000;
const SETTLE_TIMEOUT_MS = 120_000;

requireCapability('vm')('soak', () => {
  test(`a group survives ${COUNT} disasters (seed ${SEED})`, async () => {
    const random = randomNumbers(SEED);
    await using group = await SharingGroup.start({ count: 3 });
    let [from, to] = [group.pair.a, group.pair.b];
    let refusedInTurn = 0;
    for (let run = 1; run <= COUNT; run++) {
      const disaster = DISASTERS[run % DISASTERS.length]!;
      const mode = MODES[Math.floor(random() * MODES.length)]!;
      const order = GROUP_ORDERS[Math.floor(random() * GROUP_ORDERS.length)]!;
      const afterMs = Math.floor(random() * LATEST_MS);
      const name = `seed ${SEED}, ${run}/${COUNT}: ${mode}, ${order}, ${disaster} after ${afterMs} ms`;
      await group.work(from, 500);
      await using link = await LinkProxy.open(to.host.migration);
      const { id } = await group.begin(from, link.address, { mode, order });
      // Half of them while VMs are at both hosts.
      if (random() < 0.5) await divided(from, id);
      await delay(afterMs);
      const { state, error } = (await from.client.listGroupMigrations())[0]!;
      if (disaster === 'link') {
        link.cut();
        await delay(random() * LONGEST_CUT_MS);
        link.restore();
      }
      if (disaster === 'source' || disaster === 'both') await restart(from);
      if (disaster === 'destination' || disaster === 'both') await restart(to);
      const at = await settled(group, from, to).catch((cause: unknown) => {
        throw new Error(`${name}, ${state}: it does not come to an end`, { cause });
      });
      await group.work(at, 500);
      const { problems, increments } = await group.check(at);
      process.stdout.write(
        `${name}: ${state}${error ? ` (${error.message})` : ''}, then at ${at.host.name}; ${increments} increments\n`,
      );
      expect(problems, `${name}, ${state}`).toEqual([]);
      // Something that was left behind is in the way.
      refusedInTurn = state === 'failed' ? refusedInTurn + 1 : 0;
      expect(refusedInTurn, `${name}: ${error?.message}`).toBeLessThan(3);
      if (at === to) [from, to] = [to, from];
    }
  });
});

/** VMs are at both hosts, or it is over. */
async function divided(from: ReachedHost, id: string): Promise<void> {
  await waitUntil(
    'the first VM has gone',
    async () => {
      const { state, totalMs } = await from.client.showGroupMigration(id);
      return state === 'split' || totalMs !== null;
    },
    // Pre-copy of a guest that writes all the time ends late on a busy machine, or fails.
    { timeoutMs: SETTLE_TIMEOUT_MS },
  );
}

/** Where all of them are, when nothing moves any more. */
async function settled(group: SharingGroup, from: ReachedHost, to: ReachedHost): Promise<ReachedHost> {
  return await waitUntil(
    'the group is whole, and free',
    async () => {
      if ((await from.client.listGroupMigrations()).some(({ totalMs }) => totalMs === null)) return undefined;
      const vms = await Promise.all([from, to].map(async (at) => ({ at, list: await at.client.listVms() })));
      const whole = vms.find(({ list }) => group.vms.every((vm) => list.some(({ name }) => name === vm)));
      const isSettled = vms.every(({ list }) => list.every((vm) => vm.migration === null && vm.state === 'running'));
      return isSettled && vms.filter(({ list }) => list.length > 0).length === 1 ? whole?.at : undefined;
    },
    { timeoutMs: SETTLE_TIMEOUT_MS },
  );
}

/** A number of 0 to 1 each time, the same ones for the same seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
