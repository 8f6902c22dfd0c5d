import { afterEach, expect, test } from 'vitest';
import { DEFAULT_MIGRATION_OPTIONS } from './request.ts';
import { SourceCopying, type SourceCopyingPort } from './source-copying.ts';
import { becomeOrdinary } from './thread-priority.ts';

// Copying gives way to others.
afterEach(becomeOrdinary);

test('copying that fails at its beginning ends after QEMU has lent its settings, not before', async () => {
  const lending = Promise.withResolvers<void>();
  const refusal = new Error('QEMU does not answer');
  const port = {
    options: () => DEFAULT_MIGRATION_OPTIONS,
    signal: new AbortController().signal,
    disks: { copy: async () => undefined, mayCopy: false },
    history: { peakPagesPerSecond: () => 0 },
    packing: { channels: { count: 1, become: () => undefined } },
    link: { openPages: async () => undefined, compareClocks: async () => undefined },
    guest: { isRunning: () => Promise.reject(refusal), prepareToSave: () => lending.promise, track: async () => null },
  };
  const ends: string[] = [];
  const copying = new SourceCopying(port as unknown as SourceCopyingPort).run().catch((error: unknown) => {
    ends.push('copying');
    return error;
  });
  await new Promise(setImmediate);
  ends.push('lending');
  lending.resolve();
  expect(await copying).toBe(refusal);
  expect(ends).toEqual(['lending', 'copying']);
});
