/** Which files are removed when nothing comes of a VM that was to bring its disks. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import type { KnownImage } from '../storage/known-image.ts';
import { DestinationDisks } from './destination-disks.ts';
import type { PlannedDisk } from './disk-fit.ts';

let directory: TempDirectory;
let kept: readonly KnownImage[];

beforeEach(() => {
  directory = new TempDirectory();
  kept = [];
});
afterEach(() => directory[Symbol.dispose]());

function open(): DestinationDisks {
  return new DestinationDisks({
    keepImages: (images) => {
      kept = images;
    },
    note: (text) => expect.fail(text),
  });
}

function planned(name: string): PlannedDisk {
  const path = directory.join(name);
  const what = { kind: 'copied', image: 'file', format: 'raw', virtualBytes: 1 << 20, token: null } as const;
  return { name, path, source: path, ...what };
}

const isThere = (name: string): boolean => existsSync(directory.join(name));

test('those that were made, also after a restart, and once', () => {
  const disks = open();
  disks.create([planned('one'), planned('two')]);
  expect([isThere('one'), isThere('two'), kept.length]).toEqual([true, true, 2]);
  const next = open();
  next.findAgain({ images: kept, records: [] });
  next.discard();
  expect([isThere('one'), isThere('two')]).toEqual([false, false]);
  // Somebody else's, by then.
  writeFileSync(directory.join('one'), 'other');
  disks.discard();
  expect(readFileSync(directory.join('one'), 'utf8')).toBe('other');
});

test('not one that somebody else has made there first', () => {
  writeFileSync(directory.join('two'), 'other');
  const disks = open();
  expect(() => disks.create([planned('one'), planned('two')])).toThrow(/two cannot be created \(EEXIST\)/);
  disks.discard();
  expect([isThere('one'), isThere('two')]).toEqual([false, true]);
});

test('not one that has taken the place of what was made', () => {
  const disks = open();
  disks.create([planned('one')]);
  writeFileSync(directory.join('other'), 'other');
  renameSync(directory.join('other'), directory.join('one'));
  disks.discard();
  expect(isThere('one')).toBe(true);
});

test('none that are gone, and none once the VM may have run here', () => {
  const disks = open();
  disks.create([planned('one'), planned('two')]);
  rmSync(directory.join('one'));
  disks.keep();
  disks.discard();
  expect(isThere('two')).toBe(true);
});
