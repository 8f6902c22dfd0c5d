import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { unlessAborted } from './unless-aborted.ts';

const NEVER = new Promise<number>(() => undefined);

test('is what was waited for, or null once the signal has come, also where both are there already', async () => {
  const signal = new AbortController();
  expect(await unlessAborted(Promise.resolve(1), signal.signal)).toBe(1);
  await expect(unlessAborted(Promise.reject(new Error('no')), signal.signal)).rejects.toThrow('no');
  const waiting = unlessAborted(NEVER, signal.signal);
  signal.abort();
  expect(await waiting).toBeNull();
  expect(await unlessAborted(Promise.resolve(1), signal.signal)).toBeNull();
  expect(await unlessAborted(Promise.reject(new Error('no')), signal.signal)).toBeNull();
});

test('leaves nothing at a signal that lives on', async () => {
  const { signal } = new AbortController();
  for (let i = 0; i < 3; i++) await unlessAborted(Promise.resolve(i), signal);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});
