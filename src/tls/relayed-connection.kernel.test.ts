import { createHash, randomBytes } from 'node:crypto';
import { Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LinkProxy } from '../../test/support/link-proxy.ts';
import { TlsHosts } from '../../test/support/tls-hosts.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { duplicateFd, receiveSome, sendAll } from '../linux/socket.ts';
import { openFurther } from '../migration/further-connections.ts';
import { newSessionKey } from '../migration/source-offer.ts';
import { LinkGauge } from '../transfer/link-gauge.ts';
import { encodeControl } from '../wire/message-codec.ts';
import type { RelayPort } from './relay-orders.ts';

const MIB = 2 ** 20;
const JOINED = encodeControl({ kind: 'joined', phase: 'receiving', epoch: 1 });

let resources: AsyncDisposableStack;
let link: LinkProxy;
let relay: RelayPort;
/** Both ends of a connection of a migration, as threads get them. */
let near: number;
let far: number;

beforeEach(async () => {
  resources = new AsyncDisposableStack();
  const hosts = resources.use(await TlsHosts.create());
  relay = hosts.relay('a', await hosts.certify('a')).port;
  const b = hosts.relay('b', await hosts.certify('b'));
  const joined = Promise.withResolvers<number>();
  const { address } = await hosts.listen('b', b.port, joined.resolve);
  link = resources.use(await LinkProxy.open(address));
  const other = { to: link.address, hostName: 'a', dscp: null, tls: relay, sessionKey: newSessionKey() };
  const opening = openFurther(other, 'pages', AbortSignal.timeout(10_000));
  far = await joined.promise;
  sendAll(far, JOINED);
  near = await opening;
});
afterEach(() => resources.disposeAsync());

/** The descriptor as one of Node's sockets, which then owns it. */
function socketOf(fd: number): Socket {
  const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  resources.defer(() => void socket.destroy());
  // How it ends is what some tests are about.
  socket.on('error', () => undefined);
  return socket;
}

/** Of so many bytes. */
async function digestOf(socket: Socket, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  let received = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    received += chunk.length;
    if (received >= bytes) resolve();
  });
  await promise;
  return hash.digest('hex');
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

test('what goes in comes out, both ways at once', async () => {
  const [there, back] = [randomBytes(24 * MIB), randomBytes(16 * MIB)];
  const [atNear, atFar] = [socketOf(near), socketOf(far)];
  const received = Promise.all([digestOf(atFar, there.length), digestOf(atNear, back.length)]);
  atNear.write(there);
  atFar.write(back);
  expect(await received).toEqual([there, back].map(sha256));
});

test.each(['near', 'far'] as const)('what was said before the end comes before it (%s ends)', async (end) => {
  const bytes = randomBytes(8 * MIB);
  const sockets = { near: socketOf(near), far: socketOf(far) };
  const other = end === 'near' ? sockets.far : sockets.near;
  const ended = new Promise<void>((resolve) => other.once('end', resolve));
  const received = digestOf(other, bytes.length);
  sockets[end].end(bytes);
  expect(await received).toBe(sha256(bytes));
  await ended;
});

test('a receiver that does not read stops the sender, and what is under way is known at every moment', async () => {
  const gauge = new LinkGauge(near, relay);
  const bytes = randomBytes(64 * MIB);
  const outcome = sendAll(near, bytes, { timeoutMs: 300 });
  expect(outcome.kind).toBe('timedOut');
  const { sentBytes } = outcome as { sentBytes: number };
  // The proxy in between has acknowledged what it holds.
  expect(gauge.unacknowledgedBytes).toBeGreaterThan(256 * 1024);
  expect(gauge.unacknowledgedBytes + link.bytes.up).toBeLessThan(sentBytes * 1.5);
  expect(sentBytes).toBeLessThan(32 * MIB);
  const into = new Uint8Array(MIB);
  const hash = createHash('sha256');
  let receivedBytes = 0;
  await waitUntil('all has come', () => {
    for (let got = receiveSome(far, into); got > 0; got = receiveSome(far, into)) {
      hash.update(into.subarray(0, got));
      receivedBytes += got;
    }
    return receivedBytes >= sentBytes;
  });
  expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes.subarray(0, sentBytes)).digest('hex'));
  await waitUntil('nothing is under way', () => gauge.unacknowledgedBytes === 0);
});

test('the numbers of the kernel are those of the connection to the other host', async () => {
  const gauge = new LinkGauge(near, relay);
  const before = gauge.busy!.acknowledgedBytes;
  sendAll(near, randomBytes(100_000));
  const into = new Uint8Array(MIB);
  await waitUntil('it is acknowledged', () => {
    receiveSome(far, into);
    return gauge.busy!.acknowledgedBytes - before >= 100_000;
  });
  // Records of TLS add a little.
  expect(gauge.busy!.acknowledgedBytes - before).toBeLessThan(110_000);
});

test('a connection that is cut on the way has ended at both ends', async () => {
  const [atNear, atFar] = [socketOf(near), socketOf(far)];
  const ended = [atNear, atFar].map((socket) => {
    socket.resume();
    return new Promise<void>((resolve) => socket.once('end', resolve).once('error', () => resolve()));
  });
  link.cut();
  await Promise.all(ended);
});

test('who is gone leaves nothing open, however many duplicates the other end has', async () => {
  const duplicate = duplicateFd(far);
  const [atNear, atFar, again] = [socketOf(near), socketOf(far), socketOf(duplicate)];
  atFar.resume();
  again.resume();
  atNear.destroy();
  await new Promise<void>((resolve) => atFar.once('end', resolve));
  expect(link.connections).toBe(1);
  atFar.destroy();
  again.destroy();
  await waitUntil('the connection is gone', () => link.connections === 0);
});

test('nobody on the way can read what goes through', async () => {
  const secret = randomBytes(32);
  const pieces: Buffer[] = [];
  link.tap((piece) => pieces.push(piece));
  const [atNear, atFar] = [socketOf(near), socketOf(far)];
  const received: Buffer[] = [];
  atFar.on('data', (chunk: Buffer) => received.push(chunk));
  atNear.write(Buffer.concat([randomBytes(50_000), secret, randomBytes(50_000)]));
  await waitUntil('it has come', () => Buffer.concat(received).includes(secret));
  expect(Buffer.concat(pieces).length).toBeGreaterThan(100_000);
  expect(Buffer.concat(pieces).includes(secret)).toBe(false);
});
