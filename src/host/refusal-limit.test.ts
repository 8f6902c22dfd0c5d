import { expect, test } from 'vitest';
import type { AuditEntry } from '../api/audit.ts';
import { RefusalLimit } from './refusal-limit.ts';

test('strangers have a hundred lines at once and one a second, and the next line tells how many are left out', () => {
  const limit = new RefusalLimit();
  const entry = { status: 401 } as AuditEntry;
  const linesAt = (nowMs: number, requests: number): (AuditEntry | undefined)[] =>
    Array.from({ length: requests }, () => limit.limit(entry, nowMs)).filter((line) => line !== undefined);
  expect(linesAt(0, 1000)).toEqual(Array(100).fill(entry));
  expect(linesAt(1000, 5)).toEqual([{ ...entry, leftOut: 900 }]);
  expect(linesAt(1_000_000, 1000)).toEqual([{ ...entry, leftOut: 4 }, ...Array(99).fill(entry)]);
});
