/** VMs that share memory leave a host with the others when it is evacuated. */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { EvacuationOutcome } from '../../src/controller/evacuation-port.ts';
import { requireCapability } from '../support/capability.ts';
import { runCli, runCliJson } from '../support/godwit-cli.ts';
import { createTinyVm, isFree } from '../support/host-pair.ts';
import { worksIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { SharingGroup } from '../support/sharing-group.ts';
import { TempDirectory } from '../support/temp-directory.ts';
import { CALM } from '../support/tiny-vm.ts';

checkLeaks();

const ALONE = 'alone';
/** On a busy machine. */
const TIMEOUT_MS = 200_000;
/** A few hundred pages a second. */
const SMALL = { pageCount: 64, ...CALM };

requireCapability('vm')('an evacuation', () => {
  test('moves VMs that share memory as their group, and the others by themselves', async () => {
    using directory = new TempDirectory();
    await using group = await SharingGroup.start({ count: 2 });
    const { a, b } = group.pair;
    await createTinyVm(a, { name: ALONE, guest: SMALL });
    const fleet = directory.join('fleet.yaml');
    writeFileSync(fleet, JSON.stringify({ hosts: { a: { api: a.host.api }, b: { api: b.host.api } } }));
    const outcome: EvacuationOutcome = await runCliJson(['fleet', 'evacuate', 'a', '--fleet', fleet], {
      timeoutMs: TIMEOUT_MS,
    });
    expect(outcome).toMatchObject({ state: 'completed', stayed: [] });
    const names = [ALONE, ...group.vms].sort();
    expect(outcome.arrived.map(({ vm }) => vm).sort()).toEqual(names);
    for (const vm of names) await isFree(b, vm);
    await group.work(b, 1000);
    expect((await group.check(b)).problems).toEqual([]);
    await worksIntact(b, ALONE);
    expect(await a.client.listVms()).toEqual([]);
  });

  test('has VMs that are wanted together begin at one moment and go to one host; a skipped one stays', async () => {
    using directory = new TempDirectory();
    await using group = await SharingGroup.start({ count: 1 });
    const { a, b } = group.pair;
    for (const name of ['db', 'web', 'other']) await createTinyVm(a, { name, guest: SMALL });
    const fleet = directory.join('fleet.yaml');
    writeFileSync(fleet, JSON.stringify({ hosts: { a: { api: a.host.api }, b: { api: b.host.api } } }));
    const args = ['--fleet', fleet, '--together', 'db,web', '--skip', group.vms[0]!, '--skip', 'other'];
    const outcome: EvacuationOutcome = (
      await runCli(['fleet', 'evacuate', 'a', ...args, '--json'], { timeoutMs: TIMEOUT_MS })
    ).json;
    expect(outcome).toMatchObject({ state: 'incomplete', running: [] });
    expect(outcome.arrived.map(({ vm }) => vm).sort()).toEqual(['db', 'web']);
    expect(outcome.stayed.map(({ vm, reason }) => [vm, reason]).sort()).toEqual(
      [group.vms[0]!, 'other'].sort().map((vm) => [vm, expect.stringContaining('it is to stay: --skip')]),
    );
    const [one, two] = await a.client.listMigrations();
    expect(Math.abs(one!.startedAtMs - two!.startedAtMs)).toBeLessThan(2000);
    for (const vm of ['db', 'web']) await isFree(b, vm);
  });
});
