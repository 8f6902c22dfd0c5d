import { describe, expect, test } from 'vitest';
import { advanceGuestClock } from './guest-clock.ts';

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
    expect(advanceGuestClock(state, 'tcg', 20)).toBe(true);
    expect(state).toEqual(stream(24_549_000_000n, 10_020_000_000n));
  });

  test('is left alone when the section is missing, stands twice, or has not begun', () => {
    const missing = Buffer.from('nothing of the kind');
    const twice = Buffer.concat([stream(5n, 5n), stream(5n, 5n)]);
    const fresh = stream(0n, 0n);
    expect([missing, twice, fresh].map((state) => advanceGuestClock(state, 'tcg', 20))).toEqual([false, false, false]);
    expect(fresh).toEqual(stream(0n, 0n));
  });

  test('never goes back', () => {
    const state = stream(24n, 10n);
    expect(advanceGuestClock(state, 'tcg', -5)).toBe(false);
    expect(state).toEqual(stream(24n, 10n));
  });

  test('under KVM is kvmclock alone', () => {
    const header = Buffer.from([4, 0, 0, 0, 9, 8, ...Buffer.from('kvmclock'), 0, 0, 0, 0, 0, 0, 0, 1]);
    const clock = (nanoseconds: bigint): Buffer => {
      const fields = Buffer.alloc(8);
      fields.writeBigInt64BE(nanoseconds);
      return Buffer.concat([stream(24n, 10n), header, fields, Buffer.from('~')]);
    };
    const state = clock(5_000_000_000n);
    expect(advanceGuestClock(state, 'kvm', 20)).toBe(true);
    expect(state).toEqual(clock(5_020_000_000n));
  });
});
