import { describe, expect, test } from 'vitest';
import { advanceGuestClock, readGuestClock } from './guest-clock.ts';

/** A stream with one `timer` section between other bytes. */
function stream(ticks: bigint, nanoseconds: bigint): Buffer {
  const header = Buffer.from([4, 0, 0, 0, 7, 5, ...Buffer.from('timer'), 0, 0, 0, 0, 0, 0, 0, 2]);
  const fields = Buffer.alloc(24);
  fields.writeBigInt64BE(ticks, 0);
  fields.writeBigInt64BE(nanoseconds, 16);
  return Buffer.concat([Buffer.from('QEVM other \x05timer bytes', 'latin1'), header, fields, Buffer.from('~rest')]);
}

describe('guest clock', () => {
  test('is moved forward by the time given, ticks in proportion', () => {
    const state = stream(24_500_000_000n, 10_000_000_000n);
    expect(advanceGuestClock(state, 20)).toBe(true);
    expect(readGuestClock(state)).toBe(10_020_000_000);
    expect(state).toEqual(stream(24_549_000_000n, 10_020_000_000n));
  });

  test('is left alone when the section is missing, stands twice, or has not begun', () => {
    const missing = Buffer.from('nothing of the kind');
    const twice = Buffer.concat([stream(5n, 5n), stream(5n, 5n)]);
    const fresh = stream(0n, 0n);
    expect([missing, twice, fresh].map((state) => advanceGuestClock(state, 20))).toEqual([false, false, false]);
    expect(fresh).toEqual(stream(0n, 0n));
  });

  test('never goes back', () => {
    const state = stream(24n, 10n);
    expect(advanceGuestClock(state, -5)).toBe(false);
    expect(state).toEqual(stream(24n, 10n));
  });
});
