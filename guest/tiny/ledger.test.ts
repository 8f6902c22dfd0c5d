import { expect, test } from 'vitest';
import { SECTOR_BYTES } from './layout.ts';
import { checkLedger } from './ledger.ts';

/** A disk with these numbers in its sectors. */
function disk(...numbers: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(numbers.flatMap((number) => new Array(SECTOR_BYTES / 4).fill(number))).buffer);
}

test.each<[string, number[], number]>([
  ['nothing was written', [0, 0, 0, 0], 0],
  ['the first is there and not counted', [0, 1, 0, 0], 0],
  ['some', [0, 1, 2, 0], 2],
  ['all, once', [4, 1, 2, 3], 4],
  ['over and over', [8, 5, 6, 7], 8],
  ['one ahead', [8, 9, 6, 7], 8],
])('a disk is right when %s', (_, numbers, writes) => {
  expect(checkLedger(disk(...numbers), writes)).toEqual([]);
});

test.each<[string, number[], number]>([
  ['the last write is missing', [8, 5, 6, 3], 7],
  ['an older write came later', [8, 5, 6, 3], 8],
  ['a write came too early', [8, 5, 10, 7], 8],
  ['a sector was never filled', [8, 0, 6, 7], 8],
])('and wrong when %s', (_, numbers, writes) => {
  expect(checkLedger(disk(...numbers), writes)).toHaveLength(1);
});

test('a torn sector is wrong', () => {
  const torn = disk(4, 1, 2, 3);
  torn[SECTOR_BYTES + 4] = 5;
  expect(checkLedger(torn, 4)).toHaveLength(1);
});
