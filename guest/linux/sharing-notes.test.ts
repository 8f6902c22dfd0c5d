import { expect, test } from 'vitest';
import { regionLayout } from '../sharing/region-layout.ts';
import { lastSharingProgress, readComplaints } from './console.ts';
import { findSharingNotes, type RamBytes, readSharingNotes, sharingParameter } from './sharing-notes.ts';

const MEBIBYTE = 2 ** 20;

/** RAM in which the notes lie at this page; `numbers` follow the magic word. */
function ramWith(page: number, numbers: readonly number[], bytes = 2 * MEBIBYTE + 8192): RamBytes {
  const ram = Buffer.alloc(bytes);
  ram.write('GODWIT SHARING!', page * 4096, 'latin1');
  ram.set(new Uint8Array(Uint32Array.from(numbers).buffer), page * 4096 + 16);
  return { bytes, read: (offset, into) => into.set(ram.subarray(offset, offset + into.length)) };
}

test.each([0, 3, 256, 513])('notes at page %i are found', (page) => {
  expect(findSharingNotes(ramWith(page, []))).toBe(page * 4096);
});

test('notes that are not at the beginning of a page are none', () => {
  const ram = Buffer.alloc(MEBIBYTE);
  ram.write('GODWIT SHARING!', 100, 'latin1');
  const read = (offset: number, into: Uint8Array): void => into.set(ram.subarray(offset, offset + into.length));
  expect(findSharingNotes({ bytes: ram.length, read })).toBeUndefined();
});

test('notes have all that the check needs', () => {
  const ram = ramWith(1, [1, 3, 2, 4, 16, 2, 50, 40, 30, 6, 4, 99, 7, 8, 1000, 2000, 3000]);
  expect(readSharingNotes(ram, 4096)).toEqual({
    member: 1,
    memberCount: 3,
    counts: Uint32Array.of(1000, 2000),
    pendingCounter: 1,
    produced: 50,
    consumed: 40,
    ownWrites: 30,
    errors: 6,
    firstError: { kind: 'the entry is not the next one', page: 99, found: 7, expected: 8 },
  });
  const quiet = readSharingNotes(ramWith(0, [0, 1, 1]), 0);
  expect(quiet).toMatchObject({ pendingCounter: undefined, errors: 0, firstError: undefined });
});

test('the kernel command line tells a guest its place', () => {
  const layout = regionLayout({ memberCount: 3, counterPages: 10 }, MEBIBYTE);
  expect(sharingParameter(layout, 2)).toBe('godwit.sharing=member:2,members:3,counters:10,ring:4,own:16');
  expect(sharingParameter(layout, 0, 'max')).toMatch(/,rate:max$/);
  const large = regionLayout({ memberCount: 1, counterPages: 1001 }, 8 * MEBIBYTE);
  expect(() => sharingParameter(large, 0)).toThrow(RangeError);
});

test('the console tells how far a guest is, and of what is not coherent', () => {
  const line = 'sharing increments=20480 produced=7 consumed=6 own=5 errors=1\r\n';
  const text = `${line.replace('20480', '1')}shared memory INCOHERENT page 7: the counter went back\r\n${line}sharing incr`;
  expect(lastSharingProgress(text)).toEqual({ increments: 20480, produced: 7, consumed: 6, ownWrites: 5, errors: 1 });
  expect(lastSharingProgress('sharing increments=1 produced=1')).toBeUndefined();
  expect(readComplaints(text)).toEqual(['shared memory INCOHERENT page 7: the counter went back']);
});
