import { expect, test } from 'vitest';
import { FaultBatch } from './fault-batch.ts';

const PAGEFAULT = 0x12n;
const REMOVE = 0x15n;
const START = 0x7fff_ffff_f000n;

test('messages are taken apart', () => {
  const batch = new FaultBatch();
  batch.words.set([PAGEFAULT, 3n, START + 0x2_0000_3000n, 0xdead_0000_0abcn]);
  expect(batch.accept(32)).toBe(1);
  expect(batch.count).toBe(1);
  expect(batch.address(0)).toBe(START + 0x2_0000_3000n);
  expect(batch.offsetFrom(0, START)).toBe(0x2_0000_3000);
  expect([batch.isWrite(0), batch.isWriteProtect(0), batch.isMinor(0)]).toEqual([true, true, false]);
  expect(batch.threadId(0)).toBe(0xabc);
});

test('events that are no page faults are dropped, the others keep their order', () => {
  const batch = new FaultBatch();
  batch.words.set([REMOVE, 0n, 1n, 0n, PAGEFAULT, 0n, 0x1000n, 0n, REMOVE, 0n, 2n, 0n, PAGEFAULT, 4n, 0x2000n, 0n]);
  expect(batch.accept(128)).toBe(2);
  expect([batch.address(0), batch.address(1)]).toEqual([0x1000n, 0x2000n]);
  expect([batch.isMinor(0), batch.isMinor(1)]).toEqual([false, true]);
  expect(batch.accept(0)).toBe(0);
});
