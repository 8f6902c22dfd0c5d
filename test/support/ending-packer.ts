/** A thread whose packing threads are in the middle of a batch when it ends, as when a migration fails. */
import { parentPort } from 'node:worker_threads';
import { PackThreads } from '../../src/transfer/pack-threads.ts';

const PAGES = 256;
const runs = [{ first: 0, count: PAGES }];
const threads = new PackThreads(2, 2, null);
const words = new Int32Array(threads.shared.slots[0]!.staging);
for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 0x9e3779b1) >>> (i % 17);

// Threads that pack do not keep their owner alive.
const alive = setInterval(() => undefined, 1000);
for (const level of [1, 3]) {
  await threads.run({ slot: 0, runs, parts: runs, codec: 'zstd', level, same: false, held: false, delta: false });
}
void threads.run({ slot: 1, runs, parts: runs, codec: 'zstd', level: 9, same: false, held: false, delta: false });
threads[Symbol.dispose]();
clearInterval(alive);
parentPort!.postMessage('packing');
process.exit();
