import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import type { MigrationOptions } from './request.ts';
import type { SourceParts } from './source-parts.ts';
import { TimeLimit } from './source-watch.ts';

type Limits = Pick<MigrationOptions, 'timeoutMs' | 'onTimeout' | 'mode'>;
const DAY_MS = 86_400_000;

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

function trial(options: Limits) {
  const done: string[] = [];
  let phase = 'copying';
  const parts = {
    startedMs: SYSTEM_CLOCK.nowMs(),
    phase: () => phase,
    copying: { interrupt: (how: string) => done.push(how) },
    events: { post: ({ error }: { error: { code: string } }) => done.push(error.code) },
    beforeCommit: { abort: (error: GodwitError) => expect(error).toBeInstanceOf(GodwitError) },
  } as unknown as SourceParts;
  const limit = new TimeLimit(parts);
  limit.set(options);
  return {
    done,
    tune: (tuned: Partial<Limits>) => limit.set({ ...options, ...tuned }),
    become: (now: string) => {
      phase = now;
    },
  };
}

test.each<[Limits['onTimeout'], Limits['mode'], string]>([
  ['pause', 'auto', 'pause'],
  ['post-copy', 'auto', 'timeout'],
  ['post-copy', 'pre-copy', 'GW_MIGRATION_TIMEOUT'],
  ['cancel', 'auto', 'GW_MIGRATION_TIMEOUT'],
])('%s of mode %s is %s, at the time and not before', (onTimeout, mode, expected) => {
  const { done } = trial({ timeoutMs: 5000, onTimeout, mode });
  vi.advanceTimersByTime(4990);
  expect(done).toEqual([]);
  vi.advanceTimersByTime(20);
  expect(done).toEqual([expected]);
});

test('a new limit counts from the start, replaces the one before, and may be none', () => {
  const { done, tune } = trial({ timeoutMs: 5000, onTimeout: 'cancel', mode: 'auto' });
  vi.advanceTimersByTime(3000);
  tune({ timeoutMs: 10_000 });
  vi.advanceTimersByTime(6000);
  tune({ timeoutMs: 0 });
  vi.advanceTimersByTime(60_000);
  expect(done).toEqual([]);
  tune({ timeoutMs: 20_000, onTimeout: 'pause' });
  vi.advanceTimersByTime(1);
  expect(done).toEqual(['pause']);
});

test('a limit of a month is not over at once', () => {
  const { done } = trial({ timeoutMs: 30 * DAY_MS, onTimeout: 'cancel', mode: 'auto' });
  vi.advanceTimersByTime(29.9 * DAY_MS);
  expect(done).toEqual([]);
  vi.advanceTimersByTime(0.2 * DAY_MS);
  expect(done).toEqual(['GW_MIGRATION_TIMEOUT']);
});

test('a VM that is being given away is left alone', () => {
  const { done, become } = trial({ timeoutMs: 5000, onTimeout: 'cancel', mode: 'auto' });
  become('stopping');
  vi.advanceTimersByTime(6000);
  expect(done).toEqual([]);
});
