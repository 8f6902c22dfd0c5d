import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { EventFd, Poller, pollReadable, pollWritable, watchReadable } from './poll.ts';

test('an event descriptor is readable from its signal until it is drained', () => {
  using event = EventFd.create();
  expect(pollReadable([event.fd], 0)).toEqual([false]);
  event.signal();
  event.signal();
  expect(pollReadable([event.fd], 0)).toEqual([true]);
  expect(event.drain()).toBe(true);
  expect(event.drain()).toBe(false);
  expect(pollReadable([event.fd], 0)).toEqual([false]);
});

test('the poller tells which descriptor is ready', () => {
  using quiet = EventFd.create();
  using loud = EventFd.create();
  loud.signal();
  const poller = new Poller([quiet.fd, loud.fd]);
  expect(poller.wait(-1)).toBe(1);
  expect([poller.isReady(0), poller.isReady(1)]).toEqual([false, true]);
  expect(pollWritable([quiet.fd], 0)).toEqual([true]);
});

test('polling ends after the time given', () => {
  using event = EventFd.create();
  const start = performance.now();
  expect(new Poller([event.fd]).wait(20.5)).toBe(0);
  expect(performance.now() - start).toBeGreaterThan(20);
});

test('a closed descriptor is an error', () => {
  const event = EventFd.create();
  event[Symbol.dispose]();
  event[Symbol.dispose]();
  expect(event.fd).toBe(-1);
  expect(() => pollReadable([999], 0)).toThrow(expect.objectContaining({ code: 'GW_SYS_CALL' }));
});

test('disposing of a borrowed descriptor leaves it open', () => {
  using event = EventFd.create();
  EventFd.borrow(event.fd)[Symbol.dispose]();
  event.signal();
  expect(event.drain()).toBe(true);
});

test('a signal from the event loop wakes a worker that blocks', async () => {
  using event = EventFd.create();
  const source = `
    const { workerData, parentPort } = await import('node:worker_threads');
    const { EventFd, pollReadable } = await import(workerData.module);
    parentPort.postMessage('waiting');
    parentPort.postMessage(pollReadable([workerData.fd], 5000)[0] && EventFd.borrow(workerData.fd).drain());
  `;
  const workerData = { fd: event.fd, module: new URL('./poll.ts', import.meta.url).href };
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData });
  await once(worker, 'message');
  const woken = once(worker, 'message');
  event.signal();
  expect(await woken).toEqual([true]);
  await worker.terminate();
});

test('the event loop is called back while the descriptor is readable, and no more after disposing', async () => {
  using event = EventFd.create();
  const { promise, resolve } = Promise.withResolvers<void>();
  let calls = 0;
  const watch = watchReadable(event.fd, () => {
    calls++;
    event.drain();
    resolve();
  });
  event.signal();
  await promise;
  watch[Symbol.dispose]();
  watch[Symbol.dispose]();
  event.signal();
  await new Promise((done) => setImmediate(() => setImmediate(done)));
  expect(calls).toBe(1);
});
