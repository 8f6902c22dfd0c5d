/** Where disks are taken for the source's, where images would be made, and what is refused. */
import { mkdirSync, statfsSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { readImageFacts } from '../storage/image-facts.ts';
import { readToken, writeToken } from '../storage/sharing-token.ts';
import type { OfferedDisk, ReadyDisk } from '../wire/disk-messages.ts';
import { answersOf, fitDisks, movedImages } from './disk-fit.ts';
import { findUnproved } from './disk-offer.ts';

let directory: TempDirectory;
let shared: OfferedDisk;
let absent: OfferedDisk;

beforeAll(() => {
  directory = new TempDirectory();
});
afterAll(() => directory[Symbol.dispose]());

beforeEach(() => {
  const path = directory.join('disk');
  writeFileSync(path, new Uint8Array(8192));
  const image = readImageFacts(path);
  const common = {
    name: 'd0',
    format: 'raw',
    readonly: false,
    virtualBytes: 8192,
    copy: 'ifNeeded',
    to: null,
  } as const;
  shared = { ...common, path, image, token: writeToken(path), backing: [] };
  absent = { ...shared, path: directory.join('absent') };
});

const blockersOf = (disk: OfferedDisk, images: string | null = null): string[] =>
  fitDisks([disk], images).blockers.map(({ id }) => id);

describe('a disk that both hosts have', () => {
  test('is shared, and proved by what is in the token', () => {
    const fit = fitDisks([shared]);
    expect(fit).toMatchObject({ blockers: [], disks: [{ kind: 'shared', path: shared.path }] });
    expect(answersOf(fit.disks)[0]?.token).toBe(readToken(shared.path, shared.token!.name));
    expect(findUnproved('web1', 'b', [shared], answersOf(fit.disks))).toBeUndefined();
  });

  test('is copied to another place, where that was asked for', () => {
    const to = directory.join('other');
    const fit = fitDisks([{ ...shared, to }]);
    expect(fit).toMatchObject({ blockers: [], disks: [{ kind: 'copied', path: to }] });
    expect(movedImages(fit.disks)).toEqual(new Map([[shared.path, to]]));
  });

  test('is not copied onto itself', () => {
    expect(blockersOf({ ...shared, copy: 'always' })).toEqual(['image-exists']);
  });
});

describe('a disk that only the source has', () => {
  test('has no room where others that come with it take it, or where its backing images are a part of it then', () => {
    const { bavail, bsize } = statfsSync(directory.path);
    const most = { ...absent.image, usedBytes: Math.floor((bavail * bsize * 2) / 3) };
    const idsOf = (...disks: OfferedDisk[]) => fitDisks(disks).blockers.map(({ id }) => id);
    const first = { ...absent, image: most };
    expect(idsOf(first)).toEqual([]);
    expect(idsOf(first, { ...first, path: directory.join('second') })).toEqual(['no-room']);
    const base = { path: shared.path, bytes: most.usedBytes };
    const overlay = { ...first, format: 'qcow2', virtualBytes: 2 ** 60, backing: [base] };
    expect(idsOf(overlay)).toEqual(['no-room']);
    expect(idsOf({ ...overlay, virtualBytes: 2 ** 20 })).toEqual([]);
  });

  test('is refused where it must not be copied, with the way out', () => {
    const [blocker] = fitDisks([{ ...absent, copy: 'never' }]).blockers;
    expect(blocker).toMatchObject({ id: 'disk-not-shared', fix: expect.stringContaining('--disks pre-copy') });
  });

  test('is made at its path, or where this host makes images', () => {
    expect(fitDisks([absent])).toMatchObject({
      blockers: [],
      disks: [{ kind: 'copied', path: absent.path, token: null }],
    });
    const images = directory.join('images');
    mkdirSync(images);
    expect(fitDisks([absent], images)).toMatchObject({ blockers: [], disks: [{ path: `${images}/absent` }] });
  });

  test.each<[string, (disk: OfferedDisk) => Partial<OfferedDisk>, string]>([
    ['a format that cannot be made', () => ({ format: 'vmdk' }), 'disk-format'],
    ['a path with ..', () => ({ to: `${directory.path}/../x` }), 'disk-path'],
    ['a directory that is not there', () => ({ to: directory.join('none', 'x') }), 'disk-place'],
    ['more data than there is room', ({ image }) => ({ image: { ...image, usedBytes: 2 ** 60 } }), 'no-room'],
    ['a device that was not named', ({ image }) => ({ image: { ...image, kind: 'device' } }), 'disk-device'],
    [
      'a device that is a file here',
      ({ image }) => ({ image: { ...image, kind: 'device' }, to: directory.join('disk') }),
      'disk-device',
    ],
  ])('is refused with %s', (_, change, id) => {
    expect(blockersOf({ ...absent, ...change(absent) })).toEqual([id]);
  });

  test('is refused outside of where this host makes images', () => {
    const images = directory.join('only');
    mkdirSync(images);
    expect(blockersOf({ ...absent, to: `${images}-not/x` }, images)).toEqual(['disk-place']);
    expect(blockersOf({ ...absent, to: `${images}/x` }, images)).toEqual([]);
  });
});

describe('the source does not believe', () => {
  const answer: ReadyDisk = { name: 'd0', kind: 'shared', path: '/a', token: 'a'.repeat(64) };

  test.each<[string, readonly ReadyDisk[]]>([
    ['no answer', []],
    ['an answer about another disk', [{ ...answer, name: 'd1' }]],
    ['an answer without the token', [{ ...answer, token: null }]],
    ['another token', [answer]],
  ])('%s', (_, answers) => {
    expect(findUnproved('web1', 'b', [shared], answers)).toMatchObject({ code: 'GW_MIGRATION_REFUSED' });
  });

  test('a copy that it has not allowed', () => {
    const copied: ReadyDisk = { ...answer, kind: 'copied', token: null };
    expect(findUnproved('web1', 'b', [{ ...shared, copy: 'never' }], [copied])).toBeDefined();
    expect(findUnproved('web1', 'b', [shared], [copied])).toBeUndefined();
  });
});
