import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { within } from '../../test/support/wait-until.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { PushOrder } from './push-order.ts';

const PAGES = 2 ** 18;

/** A thread that takes the first page that is there still, as the order does without faults and heat: so both want the same. */
const TAKER = `
  import { parentPort, workerData } from 'node:worker_threads';
  import { PageBitmap } from '${new URL('../base/page-bitmap.ts', import.meta.url).href}';
  const { pages, owed, taken } = workerData;
  const bitmap = new PageBitmap(pages, owed.buffer);
  parentPort.once('message', () => {
    for (let page = bitmap.next(0); page >= 0; page = bitmap.next(page)) {
      if (bitmap.release(page)) Atomics.add(taken, page, 1);
    }
    parentPort.close();
  });
  parentPort.postMessage('ready');
`;

test('a page goes once when two threads take pages at the same place at the same time', async () => {
  const owed = PageBitmap.shared(PAGES);
  owed.addRun(0, PAGES);
  const taken = new Uint8Array(new SharedArrayBuffer(PAGES));
  const workerData = { pages: PAGES, owed: owed.words, taken };
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(TAKER)}`), { workerData });
  const ended = once(worker, 'exit');
  await within('the thread runs', once(worker, 'message'));
  const order = new PushOrder(owed, null);
  worker.postMessage('go');
  // It has begun, and from here on there is no pause: both are at it at the same time.
  while (Atomics.load(taken, 0) === 0);
  for (let runs = order.take(16); runs.length > 0; runs = order.take(16)) {
    for (const { first, count } of runs) {
      for (let page = first; page < first + count; page++) Atomics.add(taken, page, 1);
    }
  }
  await within('the thread ends', ended);
  expect(taken.every((times) => times === 1)).toBe(true);
});
