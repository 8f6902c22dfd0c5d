/** The table of regions that a daemon finds when it starts: what the files say, and what the VMs map. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { BUS, LOG, MIB, membersOf, RegionTrialHost, startRegionVm } from '../../test/support/region-trial-host.ts';

checkLeaks();

let host: RegionTrialHost;

beforeEach(() => {
  host = new RegionTrialHost();
});
afterEach(() => host[Symbol.dispose]());

requireCapability('kernel', 'cc')('after a restart', () => {
  test('the table is that of the VMs that live and map the files', async () => {
    const regions = host.open();
    await using a = await startRegionVm(regions, 'a', BUS);
    await using b = await startRegionVm(regions, 'b', BUS);
    await using c = await startRegionVm(regions, 'c', LOG);
    await b.pig.kill();
    const again = host.reopen(a, b, c);
    expect(membersOf(again)).toEqual({ bus: ['a'], log: ['c'] });
    expect(again.of(a)).toMatchObject([{ name: 'bus', bytes: MIB, isOurs: true }]);
    again.release(a);
    again.release(c);
    expect(host.files()).toEqual([]);
  });

  test('what no VM has any more is removed, also what was made and not written down', async () => {
    const regions = host.open();
    const a = await startRegionVm(regions, 'a', BUS);
    writeFileSync(regions.list()[0]!.path.replace(/bus$/, 'lost'), '');
    await a[Symbol.asyncDispose]();
    host.reopen(a);
    expect(host.files()).toEqual([]);
    expect(host.logged).toContain('removed shared memory that was left');
  });

  test('what only an unknown process maps stays until it has ended: it may be a VM on its way here', async () => {
    const regions = host.open();
    await using a = await startRegionVm(regions, 'a', BUS);
    const again = host.reopen();
    expect(membersOf(again)).toEqual({});
    expect(() => again.claim('b', [LOG, { ...BUS, sizeBytes: 2 * MIB }])).toThrow(
      /a process that is no VM of this host/,
    );
    expect(host.files()).toHaveLength(1);
    again.join(a);
    expect(membersOf(again)).toEqual({ bus: ['a'] });

    const third = host.reopen();
    await a.pig.kill();
    expect(third.list()).toEqual([]);
    expect(host.files()).toEqual([]);
  });

  test('a table that is lost or damaged is made anew from what the VMs map', async () => {
    const regions = host.open();
    await using a = await startRegionVm(regions, 'a', BUS);
    const table = join(host.state, 'regions.json');
    writeFileSync(table, '{"regions": [{');
    expect(membersOf(host.reopen(a))).toEqual({ bus: ['a'] });
    expect(host.logged).toContain('cannot read the table of shared memory; made anew from the VMs that run');
    expect(existsSync(`${table}.damaged`)).toBe(true);
    rmSync(table);
    const again = host.reopen(a);
    expect(again.of(a)).toMatchObject([{ name: 'bus', isOurs: true }]);
    again.release(a);
    expect(host.files()).toEqual([]);
  });

  test('whatever has become of the table, a region on its way between hosts keeps its file', async () => {
    const regions = host.open();
    await using a = await startRegionVm(regions, 'a', BUS);
    const { path, inode } = regions.list()[0]!;
    writeFileSync(path, 'a page that is nowhere else', { flag: 'r+' });
    await a.pig.kill();
    writeFileSync(join(host.state, 'regions.json'), '{"regions": [{');
    const again = host.open();
    again.hold(['bus', 'never-made']);
    again.restore([]);
    again.removeLeft();
    using claim = again.claim('group 1 to b', [BUS]);
    expect(claim.regions).toMatchObject([{ name: 'bus', bytes: MIB, inode, isOurs: true }]);
    expect(readFileSync(path, 'utf8')).toContain('a page that is nowhere else');
    claim[Symbol.dispose]();
    expect(host.files()).toEqual([]);
  });

  test('a damaged file is host.told', async () => {
    const regions = host.open();
    await using a = await startRegionVm(regions, 'a', BUS);
    rmSync(regions.list()[0]!.path);
    expect(membersOf(host.reopen(a))).toEqual({ bus: ['a'] });
    expect(host.logged).toContain('shared memory is damaged');
  });
});
