/** The table of regions, with processes that map their files in place of QEMUs. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
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
import { SHARED_MEMORY_PREFIX } from '../../test/support/temp-directory.ts';
import { identifyFile } from '../linux/file-users.ts';
import { MappedFile } from '../linux/mapped-file.ts';
import { identifyProcess } from '../linux/process.ts';
import type { SharedMemorySpec } from '../qemu/spec.ts';
import { misfitOf, namesOf, type VmProcess } from './host-region.ts';
import { SharedRegions } from './shared-regions.ts';

const MIB = 2 ** 20;
const BUS: SharedMemorySpec = { name: 'bus', sizeBytes: MIB };
const LOG: SharedMemorySpec = { name: 'log', sizeBytes: 2 * MIB };

checkLeaks();

let directory: string;
let state: string;
let told: string[];
let logged: string[];

beforeEach(() => {
  directory = mkdtempSync(SHARED_MEMORY_PREFIX);
  state = join(directory, 'state');
  mkdirSync(state);
  told = [];
  logged = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function open(stateDirectory = state): SharedRegions {
  const write = (_facts: object, text: string): void => void logged.push(text);
  const log = { error: write, warn: write, info: write } as never;
  return new SharedRegions({
    stateDirectory,
    ramDirectory: directory,
    log,
    changed: (vms) => told.push(vms.join(' ')),
  });
}

/** As an earlier daemon's successor. */
function reopen(...vms: VmProcess[]): SharedRegions {
  const regions = open();
  regions.restore(vms);
  return regions;
}

interface TrialVm extends VmProcess, AsyncDisposable {
  readonly pig: GuineaPig;
}

/** Starts a process that maps one of them, as the QEMU of a VM would. */
async function start(regions: SharedRegions, name: string, wanted: SharedMemorySpec): Promise<TrialVm> {
  using claim = regions.claim(name, [wanted]);
  const path = claim.paths.get(`shared-${wanted.name}`)!;
  const pig = await GuineaPig.mapping(path);
  claim.confirm(identifyProcess(pig.pid)!);
  const args = [
    ...['-object', `memory-backend-file,id=x,size=1M,mem-path=${path},share=on`],
    ...['-device', 'ivshmem-plain,memdev=x'],
  ];
  return { ...processOf(pig), name, args, pig, [Symbol.asyncDispose]: () => pig[Symbol.asyncDispose]() };
}

function processOf(pig: GuineaPig): { pid: number; startTicks: number } {
  return identifyProcess(pig.pid)!;
}

const membersOf = (regions: SharedRegions): Record<string, string[]> =>
  Object.fromEntries(regions.list().map(({ name, members }) => [name, members.map(({ vm }) => vm)]));
const filesIn = (): string[] => readdirSync(directory).filter((name) => name.startsWith('godwit-region-'));

requireCapability('kernel', 'cc')('the regions of a host', () => {
  test('have one file, made for the first VM, found by the second, and removed after the last', async () => {
    const regions = open();
    await using a = await start(regions, 'a', BUS);
    const [region] = regions.list();
    expect(statSync(region!.path)).toMatchObject({ size: MIB, mode: 0o100600, blocks: 0 });
    await using b = await start(regions, 'b', BUS);
    expect(membersOf(regions)).toEqual({ bus: ['a', 'b'] });
    expect(told.at(-1)).toBe('a b');
    await a.pig.write(7, 42);
    expect(await b.pig.read(7)).toBe(42);

    regions.release(a);
    expect(membersOf(regions)).toEqual({ bus: ['b'] });
    expect(existsSync(region!.path)).toBe(true);
    regions.release(b);
    expect(regions.list()).toEqual([]);
    expect(filesIn()).toEqual([]);
  });

  test('count once: only what is not there yet takes room', async () => {
    const regions = open();
    expect(regions.newBytesOf([BUS, LOG])).toBe(3 * MIB);
    await using _a = await start(regions, 'a', BUS);
    expect(regions.newBytesOf([BUS, LOG])).toBe(2 * MIB);
  });

  test('are refused in another size, with both VMs and both sizes', async () => {
    const regions = open();
    await using _a = await start(regions, 'a', BUS);
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
    const regions = open();
    await using _a = await start(regions, 'a', BUS);
    {
      using _claim = regions.claim('b', [BUS, LOG]);
      expect(filesIn()).toHaveLength(2);
    }
    expect(filesIn()).toHaveLength(1);
    expect(membersOf(regions)).toEqual({ bus: ['a'] });
  });

  test('are refused when QEMU has another file than the one that was made', async () => {
    const regions = open();
    await using other = await GuineaPig.start(256);
    using claim = regions.claim('a', [BUS]);
    expect(() => claim.confirm(processOf(other))).toThrow(/cannot have the shared memory bus: .* was replaced/);
  });

  test('never take a file that somebody else has put there', () => {
    const regions = open();
    let path: string;
    {
      using claim = regions.claim('a', [BUS]);
      path = claim.regions[0]!.path;
    }
    writeFileSync(path, 'mine');
    expect(() => regions.claim('a', [LOG, BUS])).toThrow(/there already, and this daemon did not make it/);
    expect(readFileSync(path, 'utf8')).toBe('mine');
    expect(filesIn()).toHaveLength(1);
  });

  test.each<[string, (path: string) => void, RegExp]>([
    ['is gone', (path) => rmSync(path), /its file .* is gone/],
    ['is another one now', (path) => replaceFile(path), /another file is at/],
    ['was cut', (path) => truncateSync(path, 4096), /has been cut to 4096 bytes/],
  ])('whose file %s take no further VM, and a new file when those that have it have ended', async (_, damage, reason) => {
    const regions = open();
    await using a = await start(regions, 'a', BUS);
    const { path } = regions.list()[0]!;
    damage(path);
    expect(() => regions.claim('b', [BUS])).toThrow(reason);
    expect(membersOf(regions)).toEqual({ bus: ['a'] });
    const there = identifyFile(path)?.bytes;
    regions.release(a);
    // Of the files that may be there only the one that was made here is removed.
    expect(identifyFile(path)?.bytes).toBe(there === 4096 ? undefined : there);
    rmSync(path, { force: true });
    await using _b = await start(regions, 'b', BUS);
    expect(membersOf(regions)).toEqual({ bus: ['b'] });
  });

  test('are for no further VM while they change hosts, and for all when they have', async () => {
    const regions = open();
    await using a = await start(regions, 'a', BUS);
    using claim = regions.claim('group 1 to b', [BUS], 'moving');
    expect(() => regions.claim('b', [LOG, BUS])).toThrow(
      'VM b cannot have the shared memory bus: it is on its way between hosts (group 1 to b)',
    );
    expect(filesIn()).toHaveLength(1);
    expect(regions.of(a).map(namesOf)).toEqual([['a']]);
    claim.moved();
    await using _b = await start(regions, 'b', BUS);
    expect(membersOf(regions)).toEqual({ bus: ['a', 'b'] });
  });

  test('cannot begin to change hosts while a VM is being started with them, or while they do already', async () => {
    const regions = open();
    await using _a = await start(regions, 'a', BUS);
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
    const regions = open();
    await using _a = await start(regions, 'a', BUS);
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
    const other = join(directory, 'other');
    mkdirSync(other);
    const [first, second] = [open(), open(other)];
    await using a = await start(first, 'a', BUS);
    await using b = await start(second, 'a', BUS);
    await a.pig.write(0, 1);
    expect(await b.pig.read(0)).toBe(0);
    expect(filesIn()).toHaveLength(2);
    open().restore([]);
    expect(filesIn()).toHaveLength(2);
  });
});

requireCapability('kernel', 'cc')('after a restart', () => {
  test('the table is that of the VMs that live and map the files', async () => {
    const regions = open();
    await using a = await start(regions, 'a', BUS);
    await using b = await start(regions, 'b', BUS);
    await using c = await start(regions, 'c', LOG);
    await b.pig.kill();
    const again = reopen(a, b, c);
    expect(membersOf(again)).toEqual({ bus: ['a'], log: ['c'] });
    expect(again.of(a)).toMatchObject([{ name: 'bus', bytes: MIB, isOurs: true }]);
    again.release(a);
    again.release(c);
    expect(filesIn()).toEqual([]);
  });

  test('what no VM has any more is removed, also what was made and not written down', async () => {
    const regions = open();
    const a = await start(regions, 'a', BUS);
    writeFileSync(regions.list()[0]!.path.replace(/bus$/, 'lost'), '');
    await a[Symbol.asyncDispose]();
    reopen(a);
    expect(filesIn()).toEqual([]);
    expect(logged).toContain('removed shared memory that was left');
  });

  test('what only an unknown process maps stays until it has ended: it may be a VM on its way here', async () => {
    const regions = open();
    await using a = await start(regions, 'a', BUS);
    const again = reopen();
    expect(membersOf(again)).toEqual({});
    expect(() => again.claim('b', [LOG, { ...BUS, sizeBytes: 2 * MIB }])).toThrow(
      /a process that is no VM of this host/,
    );
    expect(filesIn()).toHaveLength(1);
    again.join(a);
    expect(membersOf(again)).toEqual({ bus: ['a'] });

    const third = reopen();
    await a.pig.kill();
    expect(third.list()).toEqual([]);
    expect(filesIn()).toEqual([]);
  });

  test('a table that is lost or damaged is made anew from what the VMs map', async () => {
    const regions = open();
    await using a = await start(regions, 'a', BUS);
    const table = join(state, 'regions.json');
    writeFileSync(table, '{"regions": [{');
    expect(membersOf(reopen(a))).toEqual({ bus: ['a'] });
    expect(logged).toContain('cannot read the table of shared memory; made anew from the VMs that run');
    expect(existsSync(`${table}.damaged`)).toBe(true);
    rmSync(table);
    const again = reopen(a);
    expect(again.of(a)).toMatchObject([{ name: 'bus', isOurs: true }]);
    again.release(a);
    expect(filesIn()).toEqual([]);
  });

  test('whatever has become of the table, a region on its way between hosts keeps its file', async () => {
    const regions = open();
    await using a = await start(regions, 'a', BUS);
    const { path, inode } = regions.list()[0]!;
    writeFileSync(path, 'a page that is nowhere else', { flag: 'r+' });
    await a.pig.kill();
    writeFileSync(join(state, 'regions.json'), '{"regions": [{');
    const again = open();
    again.hold(['bus', 'never-made']);
    again.restore([]);
    again.removeLeft();
    using claim = again.claim('group 1 to b', [BUS]);
    expect(claim.regions).toMatchObject([{ name: 'bus', bytes: MIB, inode, isOurs: true }]);
    expect(readFileSync(path, 'utf8')).toContain('a page that is nowhere else');
    claim[Symbol.dispose]();
    expect(filesIn()).toEqual([]);
  });

  test('a damaged file is told', async () => {
    const regions = open();
    await using a = await start(regions, 'a', BUS);
    rmSync(regions.list()[0]!.path);
    expect(membersOf(reopen(a))).toEqual({ bus: ['a'] });
    expect(logged).toContain('shared memory is damaged');
  });
});

requireCapability('kernel', 'cc')('memory of VMs that somebody else started', () => {
  test('is known by its file, has a name of its own, and its file stays', async () => {
    const regions = open();
    await using ours = await start(regions, 'ours', BUS);
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
    const again = reopen(ours, { name: 'x', args: [], ...processOf(first) });
    expect(membersOf(again)).toEqual({ bus: ['ours'], 'bus-2': ['x'] });
    again.release(processOf(first));
    expect(existsSync(first.path)).toBe(true);
    again.release(ours);
  });

  test('that has ended without a word is let go of', async () => {
    const regions = open();
    await using a = await start(regions, 'a', BUS);
    await a.pig.kill();
    expect(regions.list()).toEqual([]);
    expect(filesIn()).toEqual([]);
  });
});

function replaceFile(path: string): void {
  writeFileSync(`${path}.new`, 'another');
  renameSync(`${path}.new`, path);
}
