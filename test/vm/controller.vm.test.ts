/**
 * A fleet under controllers that are killed, on both stores: evacuations come to their end, no VM is lost or there twice.
 */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { EvacuationView } from '../../src/api/evacuation-schema.ts';
import { requireCapability } from '../support/capability.ts';
import { TestController } from '../support/godwit-controller.ts';
import { startHost } from '../support/godwit-host.ts';
import { createTinyVm, isFree, type ReachedHost, restart } from '../support/host-pair.ts';
import { worksIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { NatsServer } from '../support/nats-server.ts';
import { openTellingClient } from '../support/telling-client.ts';
import { TempDirectory } from '../support/temp-directory.ts';
import { CALM } from '../support/tiny-vm.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VMS = ['db1', 'web1'];
/** Some seconds' worth at the policy's bandwidth. */
const FILL = { firstPage: FIRST_USABLE_PAGE + 64, pageCount: 2048 };
/** Beyond the lease of a controller that is killed. */
const END_TIMEOUT_MS = 100_000;
const AGAIN_MS = 50;

let directory: TempDirectory;
let fleet: string;
let hosts: ReachedHost[] = [];

/** What holds for every evacuation of this test: where the VMs are, and that they work. */
async function allAreAt(to: ReachedHost): Promise<void> {
  for (const vm of VMS) {
    await isFree(to, vm);
    await worksIntact(to, vm);
  }
  for (const at of hosts) {
    const names = (await at.client.listVms()).map(({ name }) => name).sort();
    expect(names, at.host.name).toEqual(at === to ? VMS : []);
  }
}

/** All VMs are at one host. */
async function places(): Promise<{ readonly from: ReachedHost; readonly to: ReachedHost }> {
  const [a, b] = hosts as [ReachedHost, ReachedHost];
  return (await a.client.listVms()).length > 0 ? { from: a, to: b } : { from: b, to: a };
}

async function reaches(
  { client }: TestController,
  id: string,
  what: string,
  test: (view: EvacuationView) => boolean,
): Promise<EvacuationView> {
  let seen: unknown;
  return await waitUntil(
    what,
    async () => {
      // A controller whose store is away does not answer.
      const view = await client.showEvacuation(id).catch((error: unknown) => {
        seen = error;
      });
      seen = view ?? seen;
      return view && test(view) ? view : undefined;
    },
    { timeoutMs: END_TIMEOUT_MS, intervalMs: AGAIN_MS },
  ).catch((cause: unknown) => {
    throw new Error(`${what}: ${JSON.stringify(seen)}`, { cause });
  });
}

const runs = ({ vms }: EvacuationView): boolean =>
  vms.some(({ state, migration }) => state === 'running' && migration !== null);
const arrivedOf = ({ vms }: EvacuationView): string[] =>
  vms.flatMap(({ vm, state }) => (state === 'arrived' ? [vm] : [])).sort();

requireCapability('vm', 'nats')('a fleet under a controller', () => {
  beforeAll(async () => {
    directory = new TempDirectory();
    const started = await Promise.all(['a', 'b'].map((name) => startHost({ name })));
    hosts = started.map((host) => ({ host, client: openTellingClient(host) }));
    fleet = directory.join('fleet.yaml');
    // One after the other, and slow enough for what happens meanwhile.
    const known = Object.fromEntries(hosts.map(({ host }) => [host.name, { api: host.api, rate: '4MiB/s' }]));
    const policies = { slow: { vms: { slow: 'yes' }, mode: 'post-copy', bandwidth: '4MiB/s' } };
    writeFileSync(fleet, JSON.stringify({ hosts: known, vms: { '*': { labels: { slow: 'yes' } } }, policies }));
    for (const name of VMS) {
      await createTinyVm(hosts[0]!, { name, guest: { pageCount: 64, ...CALM, fill: FILL } });
    }
  });
  afterAll(async () => {
    for (const { host } of hosts) await host[Symbol.asyncDispose]();
    directory?.[Symbol.dispose]();
  });

  test('with SQLite: a host that is marked for maintenance is evacuated, also by a controller that is killed meanwhile', async () => {
    const b = hosts[1]!;
    await using controller = await TestController.open({ name: 'c1', fleet });
    const { evacuation } = await controller.json('maintenance', 'a', 'on', '--reason', 'a new fan');
    await reaches(controller, evacuation, 'one is on its way', runs);
    await controller.kill();
    await controller.start();
    const ended = await reaches(controller, evacuation, 'it has ended', ({ endedAtMs }) => endedAtMs !== null);
    expect(ended).toMatchObject({ state: 'completed', initiator: 'maintenance', owner: 'c1' });
    expect(ended.notes.map(({ text }) => text)).toContain('c1 goes on with it');
    expect(arrivedOf(ended)).toEqual(VMS);
    await allAreAt(b);

    // Each is there once, with what was predicted and what it took, also the one whose end the killed one had not seen.
    const { migrations, evacuations } = await waitUntil(
      'the history is whole',
      async () => {
        const history = await controller.client.history({ limit: 100 });
        return history.migrations.length === VMS.length ? history : undefined;
      },
      { intervalMs: AGAIN_MS },
    );
    expect(migrations.map(({ vm }) => vm).sort()).toEqual(VMS);
    for (const { evacuation: part, predicted, actual } of migrations) {
      expect([part, predicted === null, actual.bytes > 0]).toEqual([evacuation, false, true]);
    }
    expect(evacuations.map(({ id }) => id)).toEqual([evacuation]);

    const { hosts: shown, vms, controller: self } = await controller.json('status');
    expect(shown).toMatchObject([
      { name: 'a', state: 'up', takesVms: false, maintenance: { reason: 'a new fan' } },
      { name: 'b', state: 'up', takesVms: true, vms: 2, pressure: { cpus: expect.any(Number) } },
    ]);
    expect(vms).toMatchObject([
      { name: 'db1', policy: 'slow' },
      { name: 'web1', labels: { slow: 'yes' } },
    ]);
    expect(self).toMatchObject({ name: 'c1', store: 'sqlite', leads: true });
    // Nothing goes to a host that is marked.
    const refused = await controller.cli('evacuate', 'b', '--to', 'a');
    expect([refused.status, refused.stderr]).toEqual([3, expect.stringContaining('maintenance')]);
    expect((await controller.client.plan({ host: 'b' })).words.join('\n')).toContain('no host has room');
    expect((await controller.client.balance({ dryRun: true })).moves).toEqual([]);
    // One host's own API, through the controller.
    const host = controller.client.host('b');
    expect((await host.listVms()).map(({ name }) => name).sort()).toEqual(VMS);
    await expect(host.showVm('nobody')).rejects.toThrow('nobody');
    await host.close();
    await controller.client.setMaintenance('a', { on: false });
  });

  test('with NATS: another controller goes on; a host daemon and NATS are killed meanwhile', async () => {
    const { from, to } = await places();
    await using nats = await NatsServer.open();
    const args = ['--nats', nats.url];
    await using first = await TestController.open({ name: 'c1', fleet, args });
    await using second = await TestController.open({ name: 'c2', fleet, args });
    expect((await second.client.fleet()).controller).toMatchObject({ store: 'nats', leads: false, leader: 'c1' });
    // Whoever is asked, the one that leads does it.
    const { id } = await second.json('evacuate', from.host.name, '--detach');
    const begun = await reaches(first, id, 'one is on its way', runs);
    expect(begun.owner).toBe('c1');
    // A pre-copy would fail with its host's daemon, and rest for half a minute.
    const { migration } = begun.vms.find(({ state }) => state === 'running')!;
    await waitUntil('it is in post-copy', async () => {
      return (await from.client.showMigration(migration!)).phase === 'serving';
    });
    await Promise.all([first.kill(), restart(from)]);
    await reaches(second, id, 'the other one goes on', ({ owner }) => owner === 'c2');
    await nats.kill();
    await nats.start();
    const ended = await reaches(second, id, 'it has ended', ({ endedAtMs }) => endedAtMs !== null);
    expect(ended).toMatchObject({ state: 'completed', initiator: 'person' });
    expect(arrivedOf(ended)).toEqual(VMS);
    await allAreAt(to);
    expect((await second.client.listEvacuations()).map((view) => [view.id, view.state])).toEqual([[id, 'completed']]);
  });

  test('an evacuation is cancelled: what runs stays where it was, and nothing more begins', async () => {
    const [a] = hosts as [ReachedHost];
    writeFileSync(
      fleet,
      JSON.stringify({
        hosts: Object.fromEntries(hosts.map(({ host }) => [host.name, { api: host.api, rate: '2MiB/s' }])),
        policies: { slow: { mode: 'pre-copy', bandwidth: '1MiB/s' } },
      }),
    );
    await using controller = await TestController.open({ name: 'c1', fleet });
    const { id } = await controller.client.evacuate({ from: 'a', vms: ['db1'] });
    await expect(controller.client.evacuate({ from: 'a' })).rejects.toThrow('is being evacuated already');
    await reaches(controller, id, 'it is on its way', runs);
    expect((await controller.client.cancelEvacuation(id.slice(0, 6))).isCancelling).toBe(true);
    const watched = await controller.cli('watch', id);
    expect([watched.status, watched.stdout]).toEqual([130, expect.stringContaining('cancelled: 0 VMs moved')]);
    await allAreAt(a);
  });
});
