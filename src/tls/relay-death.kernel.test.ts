import { once } from 'node:events';
import { connect, Socket } from 'node:net';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ADDRESS, TlsHosts } from '../../test/support/tls-hosts.ts';
import { within } from '../../test/support/wait-until.ts';
import { sendAll } from '../linux/socket.ts';
import { openFurther } from '../migration/further-connections.ts';
import { newSessionKey } from '../migration/source-offer.ts';
import { encodeControl } from '../wire/message-codec.ts';
import type { RelayPort } from './relay-orders.ts';
import { RelayView } from './relay-table.ts';

const JOINED = encodeControl({ kind: 'joined', phase: 'receiving', epoch: 1 });

let hosts: TlsHosts;
let directories: { a: string; b: string };
/** Of the relay of `b`, those that were started, also after a death. */
let threads: Worker[];
let a: RelayPort;
let b: RelayPort;
let address: string;
let joined: PromiseWithResolvers<number>;

beforeEach(async () => {
  hosts = await TlsHosts.create();
  directories = { a: await hosts.certify('a'), b: await hosts.certify('b') };
  a = hosts.relay('a', directories.a).port;
  threads = [];
  process.on('worker', noteThread);
  b = hosts.relay('b', directories.b).port;
  joined = Promise.withResolvers();
  ({ address } = await hosts.listen('b', b, (fd) => joined.resolve(fd)));
});
afterEach(async () => {
  process.off('worker', noteThread);
  await hosts[Symbol.asyncDispose]();
});

function noteThread(thread: Worker): void {
  threads.push(thread);
}

async function killThreads(): Promise<void> {
  await Promise.all(threads.splice(0).map((thread) => thread.terminate()));
}

/** Whether by an end or by a reset. */
function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

function socketOf(fd: number): Socket {
  const socket = new Socket({ fd, readable: true, writable: true }).resume();
  // How it ends is not the matter.
  return socket.on('error', () => undefined);
}

test('what a thread carried has ended when it is dead, and another thread takes who comes', async () => {
  const other = { to: address, hostName: 'a', dscp: null, tls: a, sessionKey: newSessionKey() };
  const opening = openFurther(other, 'pages', AbortSignal.timeout(10_000));
  const inside = await joined.promise;
  sendAll(inside, JOINED);
  const near = socketOf(await opening);
  const view = new RelayView(b.table, inside);
  const far = socketOf(inside);
  expect(view.read()).toBeDefined();
  const ended = Promise.all([near, far].map(closeOf));
  await killThreads();
  await within('both ends see it', ended);
  expect(view.read()).toBeUndefined();
  expect((await hosts.open(address, a)).agreement.host).toBe('b');
  expect(threads).not.toHaveLength(0);
});

test('who was not decided upon yet is cut off by the death of the thread', async () => {
  const port = Number(address.split(':')[1]);
  const strangers = [Buffer.alloc(0), Buffer.from([0x16, 0x03])].map((said) => {
    const stranger = connect(port, ADDRESS).resume();
    stranger.on('error', () => undefined);
    stranger.write(said);
    return stranger;
  });
  // The thread takes orders one after the other: who comes after them is let in after they were taken.
  await Promise.all(strangers.map((stranger) => once(stranger, 'connect')));
  await hosts.open(address, a);
  const ended = strangers.map((stranger) => closeOf(stranger));
  await killThreads();
  await within('they are cut off', Promise.all(ended), 3000);
});

test('a thread that follows begins with what served last, whatever lies in the directory', async () => {
  hosts.copy(await hosts.certify('new'), ['tls.crt'], directories.b);
  await killThreads();
  expect((await hosts.open(address, a)).agreement.host).toBe('b');
});
