import { expect, test } from 'vitest';
import type { CommonalityView } from '../api/commonality-schema.ts';
import { renderHostCommonality } from './commonality-view.ts';

const MIB = 2 ** 20;
const grain = (grainBytes: number, ab: number, refuted = 0) => ({
  grainBytes,
  common: [
    [100 * MIB, ab * MIB],
    [ab * MIB, 50 * MIB],
  ],
  standardError: [
    [0, MIB],
    [MIB, 0],
  ],
  refuted,
});
const VIEW: CommonalityView = {
  host: 'a',
  atMs: 0,
  isExact: false,
  vms: ['x', 'y'],
  leftOut: [{ vm: 'z', reason: 'a migration has it' }],
  grains: [grain(4096, 10), grain(1024, 20), grain(64, 25, 3)],
  sameMemory: [
    [0, 4 * MIB],
    [4 * MIB, 0],
  ],
};

test('each pair has a row with every grain, and memory that is the same apart from it', () => {
  const [head, row, last] = renderHostCommonality(VIEW).split('\n');
  expect(head).toMatch(/VM +VM +PAGES +1.0 KiB BLOCKS +64 B BLOCKS +SAME MEMORY/);
  expect(row).toMatch(/^x +y +10\.0 MiB ± 1.0 MiB \(20 %\) +20\.0 MiB .*\(40 %\) +25\.0 MiB .*\(50 %\) +4.0 MiB/);
  expect(last).toBe('z is left out: a migration has it');
});

test('what was counted has no error, and blocks that were refuted are told of', () => {
  const text = renderHostCommonality({ ...VIEW, isExact: true });
  expect(text).not.toContain('±');
  expect(text).toContain('3 blocks of 64 B looked alike and were not');
});
