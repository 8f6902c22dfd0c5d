/** A thread that ends while its page channels' threads load or pack, as when a migration fails. */
import { parentPort, workerData } from 'node:worker_threads';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { endThreads } from '../../src/migration/child-threads.ts';
import { PageChannels } from '../../src/migration/page-channels.ts';
import { ScratchMemory } from './scratch-memory.ts';
import { SocketPair } from './socket-pair.ts';

const PAGES = 256;
const runs = [{ first: 0, count: PAGES }];

using scratch = new ScratchMemory(PAGES);
const words = new Uint32Array((PAGES * PAGE_SIZE) / 4);
for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 0x9e3779b1) >>> (i % 17);
scratch.memory.writePages(runs[0]!, new Uint8Array(words.buffer));
const sockets = [await SocketPair.open(), await SocketPair.open()];
const channels = new PageChannels({
  memory: scratch.memory,
  count: 2,
  sent: null,
  peer: 'far',
  tls: null,
  onLost: () => undefined,
  note: () => undefined,
});
channels.link(sockets.map((socket) => socket.take('near')));
const send = async (level: number): Promise<void> => {
  const steps = { codec: 'zstd', level, same: false, held: false, elsewhere: null, delta: false } as const;
  const job = { runs, steps, isDirect: false, awaited: false, digest: null, isPaced: false };
  await (await channels.free(1)).send(job, () => Promise.resolve());
};
if (workerData === 'packing') {
  // Threads that pack do not keep their owner alive.
  const alive = setInterval(() => undefined, 1000);
  for (const level of [1, 3]) await send(level);
  clearInterval(alive);
}
send(9).catch(() => undefined);
for (const socket of sockets) socket[Symbol.dispose]();
parentPort!.postMessage(workerData);
await endThreads();
