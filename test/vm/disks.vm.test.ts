/** A VM moves with its disks: on storage that both hosts share, proved to be that. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
import { completedReport, createTinyVm, HostPair } from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TempDirectory } from '../support/temp-directory.ts';

checkLeaks();

const VM = 'disky';

/** A host that sees another directory at this place. */
function seeing(directory: string, other: string): { launcher: string[] } {
  const mount = `mount --bind ${other} ${directory} && exec "$0" "$@"`;
  return { launcher: ['unshare', '--mount', 'sh', '-c', mount] };
}

function makeImage(path: string, format: 'raw' | 'qcow2'): void {
  execFileSync('qemu-img', ['create', '-q', '-f', format, path, '8M']);
}

/** Whether somebody has the image's lock for writing. */
function isLocked(path: string, format: string): boolean {
  try {
    execFileSync('qemu-io', ['-f', format, '-c', 'read 0 512', path], { stdio: 'pipe' });
    return false;
  } catch {
    return true;
  }
}

requireCapability('vm')('disks', () => {
  test.each(
    withFurther<'raw' | 'qcow2'>(['qcow2'], ['raw']),
  )('that both hosts share are not copied: %s', async (format) => {
    using images = new TempDirectory();
    const path = images.join('disk');
    makeImage(path, format);
    await using pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM, disks: [{ path, format }] });
    expect(await pair.a.client.check(VM, pair.b.host.migration)).toMatchObject({ ok: true });
    completedReport(await pair.move(VM));
    await runsIntact(pair, VM, pair.b);
    expect(isLocked(path, format)).toBe(true);
    expect(readdirSync(images.path)).toEqual(['disk']);
  });

  test('that another host has at the same path, too, are not taken for the same', async () => {
    using here = new TempDirectory();
    using there = new TempDirectory();
    const path = here.join('disk');
    makeImage(path, 'raw');
    makeImage(there.join('disk'), 'raw');
    await using pair = await HostPair.open({}, seeing(here.path, there.path));
    await createTinyVm(pair.a, { name: VM, disks: [{ path, format: 'raw' }] });
    const to = pair.b.host.migration;
    const migration = await pair.a.host.cli(['migrate', VM, '--to', to, '--json']);
    expect(migration).toMatchObject({ status: 3, json: { outcome: 'refused', owner: 'a' } });
    const told = /disk virtio-disk0 \(.*\/disk\): .*it is another directory \(put the image on storage that both/;
    expect(migration.json.error.message).toMatch(told);
    const check = await pair.a.host.cli(['check', VM, '--to', to, '--json']);
    expect(check).toMatchObject({ status: 3, json: { ok: false, outcome: 'refused' } });
    expect(check.json.blockers[0].reason).toMatch(told);
    await runsIntact(pair, VM, pair.a);
    expect(isLocked(path, 'raw')).toBe(true);
    expect([...readdirSync(here.path), ...readdirSync(there.path)]).toEqual(['disk', 'disk']);
  });
});
