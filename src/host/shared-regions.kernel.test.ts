/** The table of regions, with processes that map their files in place of QEMUs. */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import {
  BUS,
  LOG,
  MIB,
  membersOf,
  processOf,
  RegionTrialHost,
  startRegionVm,
} from '../../test/support/region-trial-host.ts';
import { identifyFile } from '../linux/file-users.ts';
import { MappedFile } from '../linux/mapped-file.ts';
import { identifyProcess } from '../linux/process.ts';
import { misfitOf, namesOf } from './host-region.ts';

checkLeaks();

let host: RegionTrialHost;

beforeEach(() => {
  host = new RegionTrialHost();
});
afterEach(() => host[Symbol.dispose]());

requireCapability('kernel', 'cc')('the regions of a host', () => {
  test('have one file, made for the first VM, found by the second, and removed after the last', async () => {
    const regions = host.open();
    await using a = await startRegionVm(regions, 'a', BUS);
    const [region] = regions.list();
    expect(statSync(region!.path)).toMatchObject({ size: MIB, mode: 0o100600, blocks: 0 });
    await using b = await startRegionVm(regions, 'b', BUS);
    expect(membersOf(regions)).toEqual({ bus: ['a', 'b'] });
    expect(host.told.at(-1)).toBe('a b');
    await a.pig.write(7, 42);
    expect(await b.pig.read(7)).toBe(42);

    regions.release(a);
    expect(membersOf(regions)).toEqual({ bus: ['b'] });
    expect(existsSync(region!.path)).toBe(true);
    regions.release(b);
    expect(regions.list()).toEqual([]);
    expect(host.files()).toEqual([]);
  });

  test('count once: only what is not there yet takes room', async () => {
    const regions = host.open();
    expect(regions.newBytesOf([BUS, LOG])).toBe(3 * MIB);
    await using _a = await startRegionVm(regions, 'a', BUS);
    expect(regions.newBytesOf([BUS, LOG])).toBe(2 * MIB);
  });

  test('are refused in another size, with both VMs and both sizes', async () => {
    const regions = host.open();
    await using _a = await startRegionVm(regions, 'a', BUS);
    const wrong = { ...BUS, sizeBytes: 4 * MIB };
    expect(() => regions.claim('b', [LOG, wrong])).toThrow(
      'sharedMemory[1].size: 4.0 MiB is not valid: VM a has the shared memory bus with 1.0 MiB: give VM b the same size, or another name',
    );
    // Also while the first one's QEMU is only being started.
    using _claim = regions.claim('c', [LOG]);
    expect(() => regions.claim('d', [{ ...LOG, sizeBytes: MIB }])).toThrow(
      /VM c has the shared memory log with 2.0 MiB/,
    );
  });

  test('of a VM that did not start leave nothing, and those of others stay', async () => {
    const regions = host.open();
    await using _a = await startRegionVm(regions, 'a', BUS);
    {
      using _claim = regions.claim('b', [BUS, LOG]);
      expect(host.files()).toHaveLength(2);
    }
    expect(host.files()).toHaveLength(1);
    expect(membersOf(regions)).toEqual({ bus: ['a'] });
  });

  test('are refused when QEMU has another file than the one that was made', async () => {
    const regions = host.open();
    await using other = await GuineaPig.start(256);
    using claim = regions.claim('a', [BUS]);
    expect(() => claim.confirm(processOf(other))).toThrow(/cannot have the shared memory bus: .* was replaced/);
  });

  test('never take a file that somebody else has put there', () => {
    const regions = host.open();
    let path: string;
    {
      using claim = regions.claim('a', [BUS]);
      path = claim.regions[0]!.path;
    }
    writeFileSync(path, 'mine');
    expect(() => regions.claim('a', [LOG, BUS])).toThrow(/there already, and this daemon did not make it/);
    expect(readFileSync(path, 'utf8')).toBe('mine');
    expect(host.files()).toHaveLength(1);
  });

  test.each<[string, (path: string) => void, RegExp]>([
    ['is gone', (path) => rmSync(path), /its file .* is gone/],
    ['is another one now', (path) => replaceFile(path), /another file is at/],
    ['was cut', (path) => truncateSync(path, 4096), /has been cut to 4096 bytes/],
  ])('whose file %s take no further VM, and a new file when those that have it have ended', async (_, damage, reason) => {
    const regions = host.open();
    await using a = await startRegionVm(regions, 'a', BUS);
    const { path } = regions.list()[0]!;
    damage(path);
    expect(() => regions.claim('b', [BUS])).toThrow(reason);
    expect(membersOf(regions)).toEqual({ bus: ['a'] });
    const there = identifyFile(path)?.bytes;
    regions.release(a);
    // Of the files that may be there only the one that was made here is removed.
    expect(identifyFile(path)?.bytes).toBe(there === 4096 ? undefined : there);
    rmSync(path, { force: true });
    await using _b = await startRegionVm(regions, 'b', BUS);
    expect(membersOf(regions)).toEqual({ bus: ['b'] });
  });

  test('are for no further VM while they change hosts, and for all when they have', async () => {
    const regions = host.open();
    await using a = await startRegionVm(regions, 'a', BUS);
    using claim = regions.claim('group 1 to b', [BUS], 'moving');
    expect(() => regions.claim('b', [LOG, BUS])).toThrow(
      'VM b cannot have the shared memory bus: it is on its way between hosts (group 1 to b)',
    );
    expect(host.files()).toHaveLength(1);
    expect(regions.of(a).map(namesOf)).toEqual([['a']]);
    claim.moved();
    await using _b = await startRegionVm(regions, 'b', BUS);
    expect(membersOf(regions)).toEqual({ bus: ['a', 'b'] });
  });

  test('cannot begin to change hosts while a VM is being started with them, or while they do already', async () => {
    const regions = host.open();
    await using _a = await startRegionVm(regions, 'a', BUS);
    expect(regions.occupantOf('bus')).toBeUndefined();
    {
      using _claim = regions.claim('b', [BUS]);
      expect(regions.occupantOf('bus')).toBe('VM b is being started with it');
    }
    using claim = regions.claim('group 1 to b', [BUS], 'moving');
    expect(regions.occupantOf('bus')).toBe('it is on its way between hosts (group 1 to b)');
    claim.moved();
    expect(regions.occupantOf('bus')).toBeUndefined();
  });

  test('of a VM that has them twice, or not whole, are found out', async () => {
    const regions = host.open();
    await using _a = await startRegionVm(regions, 'a', BUS);
    const [region] = regions.list();
    expect(misfitOf(region!)).toBeNull();
    expect(misfitOf({ ...region!, bytes: 2 * MIB })).toMatch(/^VM a has 1.0 MiB of it, which has 2.0 MiB/);
    const self = { vm: 'b', process: identifyProcess(process.pid)! };
    using _once = MappedFile.open(region!.path, MIB);
    expect(misfitOf({ ...region!, members: [self] })).toBeNull();
    using _twice = MappedFile.open(region!.path, MIB);
    expect(misfitOf({ ...region!, members: [self] })).toMatch(/^VM b has it more than once/);
  });

  test('are those of another daemon for nobody else, also on the same machine', async () => {
    const other = join(host.directory, 'other');
    mkdirSync(other);
    const [first, second] = [host.open(), host.open(other)];
    await using a = await startRegionVm(first, 'a', BUS);
    await using b = await startRegionVm(second, 'a', BUS);
    await a.pig.write(0, 1);
    expect(await b.pig.read(0)).toBe(0);
    expect(host.files()).toHaveLength(2);
    host.open().restore([]);
    expect(host.files()).toHaveLength(2);
  });
});

requireCapability('kernel', 'cc')('memory of VMs that somebody else started', () => {
  test('is known by its file, has a name of its own, and its file stays', async () => {
    const regions = host.open();
    await using ours = await startRegionVm(regions, 'ours', BUS);
    await using first = await GuineaPig.start(256);
    await using second = await GuineaPig.mapping(first.path);
    const found = { path: first.path, ...identifyFile(first.path)! };
    for (const [name, pig] of [
      ['x', first],
      ['y', second],
    ] as const) {
      regions.adopt({ name, args: [], ...processOf(pig) }, [{ ...found, name: 'bus' }]);
    }
    expect(membersOf(regions)).toEqual({ bus: ['ours'], 'bus-2': ['x', 'y'] });
    const again = host.reopen(ours, { name: 'x', args: [], ...processOf(first) });
    expect(membersOf(again)).toEqual({ bus: ['ours'], 'bus-2': ['x'] });
    again.release(processOf(first));
    expect(existsSync(first.path)).toBe(true);
    again.release(ours);
  });

  test('that has ended without a word is let go of', async () => {
    const regions = host.open();
    await using a = await startRegionVm(regions, 'a', BUS);
    await a.pig.kill();
    expect(regions.list()).toEqual([]);
    expect(host.files()).toEqual([]);
  });
});

function replaceFile(path: string): void {
  writeFileSync(`${path}.new`, 'another');
  renameSync(`${path}.new`, path);
}
