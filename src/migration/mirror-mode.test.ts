import { expect, test } from 'vitest';
import { chooseMirrorMode } from './mirror-mode.ts';

test.each([
  [true, 1e9, 1e6, 'background'],
  [false, 0, 1e6, 'background'],
  [false, 249_999, 1e6, 'background'],
  [false, 250_001, 1e6, 'write-blocking'],
  [false, 3_000_000, null, 'background'],
  [false, 4_000_000, null, 'write-blocking'],
] as const)('that can be changed: %s, written %d B/s, link %s B/s: %s', (canChange, written, link, mode) => {
  expect(chooseMirrorMode({ canChange, writtenBytesPerSecond: written, linkBytesPerSecond: link })).toBe(mode);
});
