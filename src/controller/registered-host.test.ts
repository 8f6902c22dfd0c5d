import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Registration } from '../nats/signed-words.ts';
import { RegisteredHost } from './registered-host.ts';

const NONCE = 'n'.repeat(64);
const REGISTER = { fleetKey: '', token: 'secret', bytesPerSecond: null, labels: {} };
const record = (daemonId: string, change: Partial<Registration> = {}): Registration => ({
  ...{ name: 'a', api: `http://${daemonId}:1`, migration: `${daemonId}:2`, daemonId, version: '1' },
  ...{ sinceMs: 1, endedAtMs: null },
  ...change,
});
const hearing = { sinceMs: 0, silentMs: 15_000 };

let host: RegisteredHost;
const beat = (daemonId: string, n: number, nonce: string | null = null): void =>
  host.hear({ name: 'a', daemonId, n, nonce }, NONCE);
const shown = () => {
  const { api, takesVms, registration } = host.known(REGISTER, hearing);
  return { api, takesVms, beats: registration?.beats, isProven: registration?.unproven === null };
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
  vi.advanceTimersByTime(60_000);
  host = new RegisteredHost(record('d1'));
});
afterEach(() => void vi.useRealTimers());

test.each([
  ['without a nonce', 'd1', null],
  ["with another controller's nonce", 'd1', 'o'.repeat(64)],
  ['of another daemon', 'd2', NONCE],
])('a beat %s proves nothing', (_what, daemonId, nonce) => {
  beat(daemonId, 1, nonce);
  expect(shown()).toEqual({ api: 'http://d1:1', takesVms: false, beats: false, isProven: false });
  expect(host.isSettled).toBe(false);
});

test('a daemon lives for as long as its beats are new', () => {
  beat('d1', 4, NONCE);
  expect(shown()).toEqual({ api: 'http://d1:1', takesVms: true, beats: true, isProven: true });
  vi.advanceTimersByTime(14_999);
  expect(host.isBeating(hearing)).toBe(true);
  // Somebody has recorded them.
  beat('d1', 4, NONCE);
  beat('d1', 3);
  vi.advanceTimersByTime(1);
  expect(host.isBeating(hearing)).toBe(false);
  beat('d1', 5);
  expect(host.isBeating(hearing)).toBe(true);
});

test('what could not be heard is no silence', () => {
  beat('d1', 1, NONCE);
  vi.advanceTimersByTime(20_000);
  expect(host.isBeating({ sinceMs: null })).toBeNull();
  expect(host.isBeating({ sinceMs: performance.now() - 14_999 })).toBeNull();
  expect(host.isBeating({ sinceMs: performance.now() - 15_000 })).toBe(false);
});

test('the address that was proven last counts until another one is', () => {
  beat('d1', 1, NONCE);
  host.take(record('d2'));
  expect([shown().api, host.isSettled]).toEqual(['http://d1:1', false]);
  // The daemon that is there still counts as alive.
  vi.advanceTimersByTime(15_000);
  beat('d1', 2);
  expect(shown()).toMatchObject({ api: 'http://d1:1', beats: true });
  beat('d2', 1, NONCE);
  expect([shown(), host.isSettled]).toEqual([
    { api: 'http://d2:1', takesVms: true, beats: true, isProven: true },
    true,
  ]);
  // That one has been replaced.
  vi.advanceTimersByTime(15_000);
  beat('d1', 3, NONCE);
  expect(shown()).toMatchObject({ api: 'http://d2:1', beats: false });
});

test('a daemon that has ended lives no more at once, and another one’s end says nothing of it', () => {
  beat('d1', 1, NONCE);
  host.take(record('d0', { endedAtMs: 5 }));
  expect(shown()).toMatchObject({ api: 'http://d1:1', takesVms: true, beats: true });
  host.take(record('d1', { endedAtMs: 5 }));
  expect(shown()).toEqual({ api: 'http://d1:1', takesVms: false, beats: false, isProven: true });
  expect(host.isSettled).toBe(true);
});
