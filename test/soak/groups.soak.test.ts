/**
 * Fifty migrations of groups that share 64 MiB, under the work that would notice incoherence: two, three and five tiny VMs, in
 * every order, their private memory by every mode, there and back. And a group of Linux guests, which map the memory themselves.
 *
 * `npm run test:soak`; GODWIT_SOAK_COUNT=10 for about so many. A line for each migration goes to stdout; whatever fails is named
 * by its group, mode and order.
 */
import { expect, test } from 'vitest';
import { GROUP_ORDERS, type GroupMigrationView, type GroupOrder } from '../../src/api/group-migration-schema.ts';
import { MIGRATION_MODES, type MigrationMode } from '../../src/migration/request.ts';
import { requireCapability } from '../support/capability.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { LinuxGroup } from '../support/linux-group.ts';
import { SharingGroup } from '../support/sharing-group.ts';

checkLeaks();

const REGION_MIB = 64;
/** Of five members: 57 of the 64 MiB are worked on. */
const LAYOUT = { counterPages: 8192, ringPages: 256, ownPages: 1024 };
const COUNT = Number(process.env['GODWIT_SOAK_COUNT'] ?? 50);
/** How many of the 50 each group has: each meets every mode in every order. */
const PARTS: readonly [vms: number, share: number][] = [
  [2, 18],
  [3, 16],
  [5, 16],
];
const COMBINATIONS: readonly [MigrationMode, GroupOrder][] = GROUP_ORDERS.flatMap((order) =>
  MIGRATION_MODES.map((mode): [MigrationMode, GroupOrder] => [mode, order]),
);
/** Of each VM, between two migrations. */
const INCREMENTS = 2000;
const LINUX_ENTRIES = 1000;

interface Outcome {
  readonly problems: readonly string[];
  readonly increments: number;
}

requireCapability('vm')('soak', () => {
  test.each(PARTS)(`a group of %i VMs that share ${REGION_MIB} MiB keeps every write`, async (count, share) => {
    await using group = await SharingGroup.start({ count, regionMiB: REGION_MIB, layout: LAYOUT });
    const moves = Math.ceil((share * COUNT) / 50);
    for (let number = 0; number < moves; number++) {
      const [from, to] = number % 2 === 0 ? [group.pair.a, group.pair.b] : [group.pair.b, group.pair.a];
      const [mode, order] = COMBINATIONS[number % COMBINATIONS.length]!;
      const first = group.vms[number % count]!;
      const name = `${number + 1}/${moves}: ${count} VMs, ${mode}, ${order}, first ${first}`;
      await group.work(from, INCREMENTS);
      // However slow a busy machine makes it: what is looked at is the memory.
      const patient = mode === 'pre-copy' ? { maxDowntimeMs: 10_000 } : {};
      const request = { mode, order, first, verify: true, ...patient };
      const view = await naming(name, () => group.move(from, to, request));
      expect(view, name).toMatchObject({ state: 'completed', error: null });
      await naming(name, () => group.work(to, INCREMENTS));
      judge(name, view, await group.check(to));
      expect(await from.client.listVms(), name).toEqual([]);
    }
  });

  test('a group of Linux guests goes there and back without noticing', async () => {
    await using group = await LinuxGroup.start({ count: 2, regionMiB: REGION_MIB });
    for (const [number, mode] of (['auto', 'post-copy'] as const).entries()) {
      const [from, to] = number === 0 ? [group.pair.a, group.pair.b] : [group.pair.b, group.pair.a];
      const order = GROUP_ORDERS[number * 2]!;
      const name = `2 Linux guests, ${mode}, ${order}`;
      await group.work(from, LINUX_ENTRIES);
      const view = await naming(name, () => group.move(from, to, { mode, order, verify: true }));
      expect(view, name).toMatchObject({ state: 'completed', error: null });
      await naming(name, () => group.work(to, LINUX_ENTRIES));
      judge(name, view, await group.check(to));
    }
  });
});

function judge(name: string, view: GroupMigrationView, { problems, increments }: Outcome): void {
  const { state, error, notes, members, totalMs, regions } = view;
  const downtimes = members.map(({ downtimeMs }) => downtimeMs?.toFixed(1) ?? '-').join(', ');
  const called = members.filter(({ stoppedBy }) => stoppedBy !== null).length;
  const [region] = regions;
  const pages = `${region!.requestedPages} pages asked for, ${region!.pushedPages} pushed, ${region!.lentPages} lent`;
  process.stdout.write(
    `${name}: ${state} in ${totalMs} ms; downtimes ${downtimes} ms; ${called} called; ${pages}; ${increments} increments\n`,
  );
  // That something was tried again is no matter of the memory: a host of a busy machine may not answer for seconds.
  for (const note of notes) process.stdout.write(`  ${note}\n`);
  expect({ problems, state, error }, name).toEqual({ problems: [], state: 'completed', error: null });
  expect(regions, name).toMatchObject([{ pagesLeft: 0, sentAgainPages: 0 }]);
}

async function naming<T>(name: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw new Error(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
