import { expect, test } from 'vitest';
import { killMatrix } from './kill-matrix.ts';

const CELLS = killMatrix();

function fateOf(victim: string, phase: string): string[] {
  const fates = CELLS.filter((cell) => cell.victim === victim && cell.phase === phase).map(({ fate }) => fate);
  return [...new Set(fates)];
}

test('nothing but the QEMU that runs the VM takes it along', () => {
  const lost = CELLS.filter(({ fate }) => fate !== 'source' && fate !== 'destination');
  expect([...new Set(lost.map(({ victim, phase, fate }) => `${victim}, ${phase}: ${fate}`))]).toEqual([
    'source QEMU, preparing: gone',
    'source QEMU, copying: gone',
    'source QEMU, stopping: gone',
    'destination QEMU, committed: kept',
    'destination QEMU, serving: lost',
    'destination QEMU, released: gone',
  ]);
});

test.each([
  'source daemon',
  'destination daemon',
  "source's thread",
  "destination's thread",
  'link',
])('the commit decides who has the VM when this dies: %s', (victim) => {
  for (const phase of ['preparing', 'copying', 'stopping']) expect(fateOf(victim, phase)).toEqual(['source']);
  for (const phase of ['committed', 'serving', 'released']) expect(fateOf(victim, phase)).toEqual(['destination']);
});

test('every phase of every mode has its cells', () => {
  expect(CELLS).toHaveLength(7 * (5 + 5 + 6) - 3);
});
