import { describe, expect, test } from 'vitest';
import { PushWindow } from './push-window.ts';

/** A link of `bytesPerMs` that takes whatever the window allows; looks every `stepMs`. */
function run(window: PushWindow, bytesPerMs: number, stepMs: number, totalMs: number): void {
  let acknowledged = 0;
  for (let nowMs = 1; nowMs <= totalMs; nowMs += stepMs) {
    window.update(nowMs, acknowledged);
    const moved = Math.min(window.bytes, bytesPerMs * stepMs);
    acknowledged += moved;
    if (moved < bytesPerMs * stepMs) window.sawIdleLink();
  }
}

describe('push window', () => {
  test('on 1 Gbit/s lets a fault wait about two milliseconds', () => {
    const window = new PushWindow(0.2);
    run(window, 125_000, 1, 200);
    expect(window.bytes / 125_000).toBeLessThan(2.5);
    expect(window.bytes / 125_000).toBeGreaterThan(1);
  });

  test('grows until a fast link is full', () => {
    const window = new PushWindow(0.2);
    run(window, 1_000_000, 1, 300);
    expect(window.bytes).toBeGreaterThanOrEqual(1_000_000);
  });

  test('covers a long round trip', () => {
    const window = new PushWindow(50);
    run(window, 125_000, 50, 3000);
    expect(window.bytes).toBeGreaterThan(50 * 125_000);
  });

  test.each([
    ['100 Mbit/s', 12_500, 3],
    ['10 Mbit/s', 1_250, 27],
  ])('on %s little is on its way', (_, bytesPerMs, mostMs) => {
    const window = new PushWindow(0.2);
    run(window, bytesPerMs, 1, 500);
    expect(window.bytes / bytesPerMs).toBeLessThan(mostMs);
  });

  test('never falls below what is packed together, however slow the link', () => {
    const window = new PushWindow(0.2);
    run(window, 100, 1, 200);
    expect(window.bytes).toBe(32 * 1024);
  });

  test('does not grow where a limit leaves the link idle', () => {
    const window = new PushWindow(0.2);
    const limit = 50e6;
    let acknowledged = 0;
    for (let nowMs = 1; nowMs <= 1000; nowMs++) {
      window.update(nowMs, acknowledged, limit);
      acknowledged += limit / 1000;
      window.sawIdleLink();
    }
    expect(window.bytes).toBeLessThanOrEqual(128 * 1024);
  });
});
