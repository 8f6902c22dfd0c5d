/** One end of a connection that `bench/tls.ts` measures: a thread that blocks, as those of migrations do. */
import { parentPort, workerData } from 'node:worker_threads';
import { receive, sendAll } from '../src/linux/socket.ts';

export type EndTask =
  | { readonly kind: 'send' | 'receive'; readonly fd: number; readonly bytes: number }
  /** Sends so much, and waits for so much, so many times. */
  | { readonly kind: 'ask' | 'answer'; readonly fd: number; readonly times: number };

/** A page's request and its reply, about. */
const ASKED_BYTES = 24;
const ANSWERED_BYTES = 4136;
const PIECE_BYTES = 1024 * 1024;

const task = workerData as EndTask;
// Loading is not measured.
parentPort!.once('message', () => parentPort!.postMessage(run(task)));
parentPort!.postMessage('ready');

function run({ kind, fd, ...how }: EndTask): readonly number[] {
  if ('bytes' in how) {
    const piece = Buffer.alloc(PIECE_BYTES, 0x5a);
    if (kind === 'send') for (let at = 0; at < how.bytes; at += PIECE_BYTES) sendAll(fd, piece);
    else for (let at = 0; at < how.bytes; ) at += receiveInto(fd, piece);
    return [];
  }
  const [out, back] = [Buffer.alloc(kind === 'ask' ? ASKED_BYTES : ANSWERED_BYTES), Buffer.alloc(ANSWERED_BYTES)];
  const awaited = kind === 'ask' ? ANSWERED_BYTES : ASKED_BYTES;
  const tookMs: number[] = [];
  for (let i = 0; i < how.times; i++) {
    const startMs = performance.now();
    if (kind === 'ask') sendAll(fd, out);
    for (let at = 0; at < awaited; ) at += receiveInto(fd, back.subarray(at, awaited));
    if (kind === 'answer') sendAll(fd, out);
    tookMs.push(performance.now() - startMs);
  }
  return tookMs;
}

function receiveInto(fd: number, into: Uint8Array): number {
  const outcome = receive(fd, into);
  if (outcome.kind === 'received') return outcome.bytes;
  throw new Error(`the connection has ended: ${outcome.kind}`);
}
