import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Readiness } from './readiness.ts';

test('who is ready already is waited for no moment', async () => {
  const readiness = new Readiness(new AbortController().signal);
  readiness.ready();
  expect(await readiness.wait(() => true)).toBe(0);
});

test('the time counts from when the link has nothing to do any more', async () => {
  const readiness = new Readiness(new AbortController().signal);
  let isUnderWay = true;
  const waiting = readiness.wait(() => !isUnderWay);
  await delay(40);
  isUnderWay = false;
  await delay(40);
  readiness.ready();
  const ms = await waiting;
  expect(ms).toBeGreaterThan(20);
  expect(ms).toBeLessThan(70);
});

test('a link that is busy to the end has cost the link its time', async () => {
  const readiness = new Readiness(new AbortController().signal);
  const waiting = readiness.wait(() => false);
  readiness.ready();
  expect(await waiting).toBe(0);
});

test('what is to be done then is done before anybody goes on', async () => {
  const readiness = new Readiness(new AbortController().signal);
  const told: string[] = [];
  readiness.onReady(async () => {
    await delay(5);
    told.push('greeted');
  });
  const waiting = readiness.wait(() => true).then(() => told.push('gone on'));
  readiness.ready();
  await waiting;
  expect(told).toEqual(['greeted', 'gone on']);
});

test('a migration that goes back is waited for by nobody', async () => {
  const reason = new Error('cancelled');
  for (const arrived of [true, false]) {
    const going = new AbortController();
    const readiness = new Readiness(going.signal);
    const waiting = readiness.wait(() => arrived);
    going.abort(reason);
    await expect(waiting).rejects.toThrow();
    await expect(readiness.settled).rejects.toBe(reason);
  }
});
