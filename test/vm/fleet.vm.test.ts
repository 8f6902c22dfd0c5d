/** A fleet of three hosts: it is looked at, planned for and evacuated by the command line, as its owner does it. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { CommonalityView } from '../../src/api/commonality-schema.ts';
import type { EvacuationOutcome } from '../../src/controller/evacuation-port.ts';
import { requireCapability } from '../support/capability.ts';
import { runCli, runCliJson } from '../support/godwit-cli.ts';
import { startHost } from '../support/godwit-host.ts';
import { createTinyVm, isFree, type ReachedHost } from '../support/host-pair.ts';
import { worksIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { openTellingClient } from '../support/telling-client.ts';
import { TempDirectory } from '../support/temp-directory.ts';
import { CALM } from '../support/tiny-vm.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

/** Of one image: 8 MiB that all have, and are not written. */
const IMAGE = { firstPage: FIRST_USABLE_PAGE + 64, pageCount: 2048 };
const VMS = ['web1', 'web2', 'db1'];

let directory: TempDirectory;
let fleet: string;
let hosts: ReachedHost[] = [];

async function evacuate(...args: string[]): Promise<EvacuationOutcome> {
  return await runCliJson(['fleet', 'evacuate', ...args, '--fleet', fleet]);
}

requireCapability('vm')('a fleet', () => {
  beforeAll(async () => {
    directory = new TempDirectory();
    writeFileSync(directory.join('key'), 'a secret of the hosts of this test\n');
    const args = ['--fleet-key-file', directory.join('key')];
    const started = await Promise.all(['a', 'b', 'c'].map((name) => startHost({ name, args })));
    hosts = started.map((host) => ({ host, client: openTellingClient(host) }));
    fleet = directory.join('fleet.yaml');
    const known = Object.fromEntries(
      hosts.map(({ host }) => [host.name, { api: host.api, takesVms: host.name !== 'c' }]),
    );
    writeFileSync(fleet, JSON.stringify({ hosts: known }));
    for (const name of VMS) {
      await createTinyVm(hosts[0]!, { name, guest: { pageCount: 64, ...CALM, fill: IMAGE } });
    }
  });
  afterAll(async () => {
    for (const { host } of hosts) await host[Symbol.asyncDispose]();
    directory?.[Symbol.dispose]();
  });

  test('is shown, with what its VMs have in common', async () => {
    const status = await runCliJson(['fleet', 'status', '--fleet', fleet]);
    expect(status.hosts.map(({ name }: { name: string }) => name)).toEqual(['a', 'b', 'c']);
    expect(status.vms.map(({ name, host }: { name: string; host: string }) => [name, host])).toEqual(
      VMS.toSorted().map((name) => [name, 'a']),
    );
    const pairs = await waitUntil('all VMs were looked through', async () => {
      const found: { commonBytes: number }[] = await runCliJson(['fleet', 'commonality', '--fleet', fleet]);
      return found.length === 3 && found.every(({ commonBytes }) => commonBytes > 0) ? found : undefined;
    });
    const imageBytes = IMAGE.pageCount * 4096;
    for (const { commonBytes } of pairs) expect(Math.abs(commonBytes / imageBytes - 1)).toBeLessThan(0.6);
    const args = ['fleet', 'commonality', 'a', '--fleet', fleet];
    const estimated: CommonalityView = await runCliJson(args);
    const exact: CommonalityView = await runCliJson([...args, '--exact']);
    for (const view of [estimated, exact]) {
      expect(view).toMatchObject({ host: 'a', vms: VMS, leftOut: [] });
      expect(view.grains.map(({ grainBytes }) => grainBytes)).toEqual([4096, 1024, 64]);
    }
    for (const [index, { common, standardError }] of exact.grains.entries()) {
      const [ab, estimate] = [common[0]![1]!, estimated.grains[index]!];
      // Half of each page is random, all of the rest is one word: of its blocks one counts.
      const different = [1, 3 / 4, 33 / 64][index]!;
      expect(Math.abs(ab / (imageBytes * different) - 1)).toBeLessThan(0.05);
      expect(standardError[0]![1]).toBe(0);
      // At every grain one block in so many that they make 256 KiB: a few tens of them.
      expect(Math.abs(estimate.common[0]![1]! - ab)).toBeLessThan(4 * Math.sqrt(ab * 2 ** 18));
    }
    expect(exact.sameMemory[0]![1]).toBe(0);
    expect((await runCli([...args, '--exact'])).stdout).toMatch(/PAGES .*KiB BLOCKS .*64 B BLOCKS .*SAME MEMORY/);
  });

  test('is planned for in words, without anything being done', async () => {
    const { stdout } = await runCli(['fleet', 'plan', 'a', '--fleet', fleet]);
    expect(stdout).toMatch(/^3 migrations, over in /);
    for (const name of VMS) expect(stdout).toContain(name);
    expect(await hosts[0]!.client.listMigrations()).toEqual([]);
  });

  test('is evacuated: all VMs arrive where VMs are taken, and work', async () => {
    const outcome = await evacuate('a');
    expect(outcome).toMatchObject({ state: 'completed', stayed: [] });
    expect(outcome.arrived.map(({ vm, to }) => [vm, to]).sort()).toEqual(VMS.toSorted().map((vm) => [vm, 'b']));
    for (const vm of VMS) {
      await isFree(hosts[1]!, vm);
      await worksIntact(hosts[1]!, vm);
    }
    // Again: there is nothing to do any more.
    expect(await evacuate('a')).toMatchObject({ state: 'completed', arrived: [] });
  });

  test('a VM that cannot go is left with the reason, and holds up no other', async () => {
    const [, b, c] = hosts;
    await createTinyVm(c!, { name: 'db1', guest: { pageCount: 64, ...CALM, fill: IMAGE } });
    const outcome = await runCli(['fleet', 'evacuate', 'b', '--to', 'c', '--fleet', fleet, '--json']);
    expect(outcome.status).toBe(1);
    expect(outcome.json).toMatchObject({ state: 'incomplete', stayed: [{ vm: 'db1' }] });
    expect(outcome.json.stayed[0].reason).toContain('two hosts');
    expect((await b!.client.listVms()).map(({ name }) => name)).toEqual(['db1']);
  });

  test('refuses a host that it does not know, and a file that it cannot read', async () => {
    const unknown = await runCli(['fleet', 'evacuate', 'z', '--fleet', fleet]);
    expect([unknown.status, unknown.stderr]).toEqual([2, expect.stringContaining('give one of a, b, c')]);
    const missing = await runCli(['fleet', 'status', '--fleet', directory.join('none.yaml')]);
    expect([missing.status, missing.stderr]).toEqual([2, expect.stringContaining('none.yaml')]);
  });
});
