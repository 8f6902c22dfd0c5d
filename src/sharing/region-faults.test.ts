import { expect, test } from 'vitest';
import { UFFD_EVENT_PAGEFAULT, UFFD_MESSAGE_WORDS } from '../linux/abi/userfaultfd.ts';
import type { FaultBatch } from '../linux/fault-batch.ts';
import { RegionFaults } from './region-faults.ts';
import { LEND_EVERY_MS, LENT_AT_ONCE_PAGES } from './region-settings.ts';

/** A VM many of whose threads wait, each for a page of its own. */
function crowd(missedWhileStopping: (taken: number) => number) {
  const taken: number[] = [];
  let next = 0;
  const memory = {
    watched: [{ vm: 'a', fd: 5 }],
    readFaults(_index: number, batch: FaultBatch): number {
      const count = batch.words.length / UFFD_MESSAGE_WORDS;
      for (let i = 0; i < count; i++) {
        batch.words.set([BigInt(UFFD_EVENT_PAGEFAULT), 0n, BigInt(next++), 0n], i * UFFD_MESSAGE_WORDS);
      }
      return batch.accept(batch.words.byteLength);
    },
    pageOf: (_index: number, batch: FaultBatch, fault: number) => Number(batch.address(fault)),
    unprotect: () => undefined,
  };
  const faults = new RegionFaults(memory, {
    missedWhileStopping: () => missedWhileStopping(taken.length),
    accessed: (page) => void taken.push(page),
  });
  return { faults, taken, look: () => faults.take({ faulted: () => [[0, 'a']] }) };
}

test('of a VM that is being stopped so many pages are lent at once, and then one at a time', () => {
  // The first access stops it.
  const { faults, taken, look } = crowd((count) => count);
  for (let looks = 0; faults.heldBack().vms.length === 0; looks++) {
    expect(looks).toBeLessThan(2 * LENT_AT_ONCE_PAGES);
    look();
  }
  expect(taken).toEqual(Array.from({ length: LENT_AT_ONCE_PAGES }, (_, page) => page));
  expect(faults.heldBack().ms).toBeLessThanOrEqual(LEND_EVERY_MS);
  for (let more = 1; more <= 3; more++) {
    look();
    expect(taken).toHaveLength(LENT_AT_ONCE_PAGES + more);
    expect(faults.heldBack().vms).toEqual(['a']);
  }
});

test('a VM that nothing stops is held back by nothing', () => {
  const { faults, taken, look } = crowd(() => 0);
  for (let looks = 0; looks < 10; looks++) look();
  expect(taken).toHaveLength(10 * LENT_AT_ONCE_PAGES);
  expect(faults.heldBack().vms).toEqual([]);
});
