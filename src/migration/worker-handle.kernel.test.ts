/** What becomes of connections that a thread was to have and never took. */
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SocketPair } from '../../test/support/socket-pair.ts';
import { within } from '../../test/support/wait-until.ts';
import type { MigrationReport } from './report.ts';
import { DEFAULT_MIGRATION_OPTIONS } from './request.ts';
import { WorkerHandle } from './worker-handle.ts';

let sockets: SocketPair;
let words: Int32Array<SharedArrayBuffer>;
let handle: WorkerHandle;

beforeEach(async () => {
  sockets = await SocketPair.open();
  words = new Int32Array(new SharedArrayBuffer(4));
  handle = new WorkerHandle({
    id: 'm1',
    vm: 'web1',
    uuid: '',
    epoch: 1,
    direction: 'incoming',
    peer: 'a',
    options: DEFAULT_MIGRATION_OPTIONS,
    ramBytes: 0,
    hasVm: false,
    qemu: null,
    module: '../../test/support/deaf-worker',
    input: words,
    afterCrash: () => Promise.resolve({ settlement: { kind: 'absent' }, report: {} as MigrationReport }),
    reportUndecided: () => ({}) as MigrationReport,
  });
});

afterEach(async () => {
  die();
  await handle.exited;
  sockets[Symbol.dispose]();
});

function die(): void {
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
}

/** Only the thread has it then. */
function handOver(): Promise<unknown> {
  const fd = sockets.take('near');
  sockets.near.destroy();
  const ended = within('the other host sees the end of the connection', once(sockets.far, 'end'));
  sockets.far.resume();
  handle.addConnection('resume', fd, 'a');
  return ended;
}

test('a connection that a thread dies without having taken is closed', async () => {
  const ended = handOver();
  die();
  await expect(ended).resolves.toEqual([]);
});

test('a connection that comes after the thread has died is closed', async () => {
  die();
  await handle.exited;
  await expect(handOver()).resolves.toEqual([]);
});
