/**
 * The thread of the block server.
 *
 * Must hold: a call is answered, also when it cannot be carried out; calls do not wait for each other (a fence can take
 * as long as the storage does, and a cancel must get through meanwhile).
 */
import { parentPort, workerData } from 'node:worker_threads';
import { asGodwitError } from '../../base/errors.ts';
import type { DiskCall, DiskThreadData, DiskThreadReport } from './disk-server-thread.ts';
import { LocalDiskServing } from './disk-serving.ts';

const { tls } = workerData as DiskThreadData;
const serving = new LocalDiskServing(tls, (event) => report({ kind: 'event', event }));

parentPort!.on('message', ({ sequence, method, words }: DiskCall) => {
  const act = serving[method] as (...words: readonly unknown[]) => Promise<unknown>;
  act.apply(serving, [...words]).then(
    (value) => report({ kind: 'answered', sequence, value }),
    (error: unknown) => report({ kind: 'failed', sequence, error: asGodwitError(error).toBody() }),
  );
});

function report(message: DiskThreadReport): void {
  parentPort!.postMessage(message);
}
