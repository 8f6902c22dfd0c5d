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

  test('never falls below a buffer, however slow the link', () => {
    const window = new PushWindow(0.2);
    run(window, 100, 1, 200);
    expect(window.bytes).toBe(128 * 1024);
  });
});
