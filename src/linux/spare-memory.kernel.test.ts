import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const MODULE = fileURLToPath(new URL('./spare-memory.ts', import.meta.url));
/** Prints how many MB are resident with the garbage of two kinds, and when it was given back. */
const PROGRAM = `
  import { readFileSync } from 'node:fs';
  import { giveSpareMemoryBack, keepLargeBlocksApart } from ${JSON.stringify(MODULE)};
  const resident = () => Number(/VmRSS:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))[1]) / 1000;
  keepLargeBlocksApart();
  let objects = Array.from({ length: 400_000 }, (_, at) => ({ at, name: 'n' + at }));
  let blocks = Array.from({ length: 400 }, () => new Uint8Array(100_000).fill(1));
  const before = resident();
  objects = blocks = undefined;
  giveSpareMemoryBack();
  console.log(JSON.stringify([before, resident()]));`;

test('garbage of the heap, and what malloc keeps of freed blocks, go back to the kernel', () => {
  const flags = ['--expose-gc', '--input-type=module', '--eval', PROGRAM];
  const [before, after] = JSON.parse(execFileSync(process.execPath, flags, { encoding: 'utf8' })) as [number, number];
  // 40 MB of blocks and some 25 MB of objects.
  expect(before - after).toBeGreaterThan(50);
});

test('without the collector at hand nothing breaks', () => {
  const flags = ['--input-type=module', '--eval', PROGRAM];
  expect(JSON.parse(execFileSync(process.execPath, flags, { encoding: 'utf8' }))).toHaveLength(2);
});
