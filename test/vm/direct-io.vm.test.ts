/** A disk with direct I/O writes memory unseen by write-protection: such a VM goes by post-copy, or not at all. */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../support/capability.ts';
import { beginMigration, completedReport, createTinyVm, HostPair, isFree } from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TempDirectory } from '../support/temp-directory.ts';
import { CALM } from '../support/tiny-vm.ts';

checkLeaks();

const VM = 'direct';

requireCapability('vm')('direct I/O', () => {
  test('pre-copy and hybrid are refused, check says so beforehand, auto goes by post-copy', async () => {
    using images = new TempDirectory();
    const path = images.join('disk.raw');
    writeFileSync(path, new Uint8Array(2 ** 20));
    await using pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM, guest: CALM, disks: [{ path, format: 'raw', cache: 'none' }] });
    const to = pair.b.host.migration;
    for (const mode of ['pre-copy', 'hybrid']) {
      const refused = await pair.a.host.cli(['migrate', VM, '--to', to, '--mode', mode, '--json']);
      expect(refused).toMatchObject({ status: 3, json: { outcome: 'refused', owner: 'a' } });
      expect(refused.json.error).toMatchObject({ code: 'GW_MIGRATION_BLOCKED' });
      expect(refused.json.error.message).toMatch(/direct I\/O.*use --mode post-copy or auto/);
    }
    const note = expect.stringMatching(/direct I\/O.*going by post-copy/);
    expect(await pair.a.client.check(VM, to)).toMatchObject({ ok: true, notes: expect.arrayContaining([note]) });
    const migration = await beginMigration(pair.a, VM, { to, mode: 'auto', verify: true });
    const report = completedReport(await migration.ended);
    expect(migration.notes).toContainEqual(note);
    expect(report).toMatchObject({ rounds: [], verify: { equal: true } });
    expect(report.postCopy?.missingPages).toBeGreaterThan(0);
    expect(await isFree(pair.b, VM)).toMatchObject({ state: 'running' });
  });
});
