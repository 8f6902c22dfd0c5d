import { expect, test } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { LinkRate } from './link-rate.ts';

function trial() {
  const clock = new FakeClock();
  const link = { bytesSent: 0, unacknowledgedBytes: 0 };
  const rate = new LinkRate(link, clock);
  const acknowledge = (ms: number, bytes: number): number | undefined => {
    clock.advance(ms);
    link.unacknowledgedBytes -= bytes;
    return rate.measure();
  };
  const send = (bytes: number): number | undefined => {
    link.bytesSent += bytes;
    link.unacknowledgedBytes += bytes;
    return rate.measure();
  };
  return { clock, acknowledge, send };
}

test('nothing is known at first, nor of a moment', () => {
  const { acknowledge, send } = trial();
  expect(send(10_000)).toBeUndefined();
  expect(acknowledge(2, 5000)).toBeUndefined();
});

test('the rate is what was acknowledged while something was waiting', () => {
  const { acknowledge, send } = trial();
  send(500_000);
  expect(acknowledge(50, 100_000)).toBeCloseTo(2e6);
});

test('what a bucket lets pass at once is not a rate', () => {
  const { acknowledge, send } = trial();
  send(1e9);
  expect(acknowledge(10, 1_500_000)).toBeUndefined();
  expect(acknowledge(40, 4_800_000)).toBeCloseTo(1.2e8);
});

test('a fast link is known by how much it has taken', () => {
  const { acknowledge, send } = trial();
  send(1e9);
  expect(acknowledge(10, 8 * 2 ** 20 - 1)).toBeUndefined();
  expect(acknowledge(10, 1e7)).toBeCloseTo((8 * 2 ** 20 - 1 + 1e7) * 50);
});

test('an idle time does not count', () => {
  const { clock, acknowledge, send } = trial();
  send(100_000);
  acknowledge(50, 100_000);
  clock.advance(500);
  expect(send(100_000)).toBeCloseTo(2e6);
  expect(acknowledge(50, 50_000)).toBeCloseTo(2e6);
});

test('what is known of a link is not forgotten while it has nothing to do', () => {
  const { clock, acknowledge, send } = trial();
  send(100_000);
  acknowledge(50, 100_000);
  for (let i = 0; i < 10; i++) {
    clock.advance(1000);
    expect(send(0)).toBeCloseTo(2e6);
  }
});

test('a link that was fast is believed to be for a while, one that has become slower is followed', () => {
  const { acknowledge, send } = trial();
  send(1e9);
  acknowledge(50, 5_000_000);
  const seen: number[] = [];
  for (let i = 0; i < 300; i++) seen.push(acknowledge(10, 1000)!);
  expect(seen[0]).toBeCloseTo(1e8);
  expect(seen[50]).toBeCloseTo(1e8);
  expect(seen.at(-1)).toBeCloseTo(1e5, -4);
});
