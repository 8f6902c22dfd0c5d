import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  closeFd,
  descriptorOf,
  duplicateFd,
  getSocketOption,
  receive,
  receiveSome,
  sendAll,
  setDscp,
  setSocketOption,
  shutdownSocket,
} from './socket.ts';

let server: Server;
let sockets: Socket[];
let fds: [left: number, right: number];

beforeEach(async () => {
  server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connect((server.address() as { port: number }).port, '127.0.0.1');
  await once(client, 'connect');
  sockets = [client, (await accepted)[0]];
  fds = [duplicateFd(descriptorOf(sockets[0]!)), duplicateFd(descriptorOf(sockets[1]!))];
});

afterEach(() => {
  for (const fd of fds) closeFd(fd);
  for (const socket of sockets) socket.destroy();
  server.close();
});

test('bytes arrive, and nothing-yet, something and the end are told apart', () => {
  const into = new Uint8Array(100);
  expect(receiveSome(fds[1], into)).toBe(-1);
  expect(sendAll(fds[0], Buffer.from('hello'))).toEqual({ kind: 'sent' });
  expect(receive(fds[1], into)).toEqual({ kind: 'received', bytes: 5 });
  expect(Buffer.from(into.subarray(0, 5)).toString()).toBe('hello');
  expect(receive(fds[1], into, { timeoutMs: 20 })).toEqual({ kind: 'timedOut' });
  shutdownSocket(fds[0]);
  expect(receive(fds[1], into)).toEqual({ kind: 'ended' });
  expect(receiveSome(fds[1], into)).toBe(0);
});

test('sending waits while the peer does not read, and says how much went out before the time-out', () => {
  const outcome = sendAll(fds[0], new Uint8Array(64 << 20), { timeoutMs: 50 });
  expect(outcome.kind).toBe('timedOut');
  expect((outcome as { sentBytes: number }).sentBytes).toBeGreaterThan(0);
});

test('a readable interrupt descriptor ends a wait', () => {
  // A socket that has data stands for the owner's eventfd.
  sendAll(fds[0], Buffer.from('wake'));
  const outcome = sendAll(fds[0], new Uint8Array(64 << 20), { interruptFd: fds[1] });
  expect(outcome.kind).toBe('interrupted');
  expect(receive(fds[0], new Uint8Array(1), { interruptFd: fds[1] })).toEqual({ kind: 'interrupted' });
});

test('a vanished peer is a value, not a signal', () => {
  shutdownSocket(fds[0]);
  expect(sendAll(fds[0], Buffer.from('late'))).toEqual({ kind: 'peerGone', reason: 'EPIPE' });
});

test.each([
  ['noDelay', 1, 1],
  ['userTimeoutMs', 5000, 5000],
  ['sendBufferBytes', 65536, 131072],
] as const)('option %s takes effect', (option, value, readBack) => {
  setSocketOption(fds[0], option, value);
  expect(getSocketOption(fds[0], option)).toBe(readBack);
});

test('packets are marked, and the bits beside the mark are left alone', () => {
  setDscp(fds[0], 8);
  expect(getSocketOption(fds[0], 'typeOfService')).toBe(0x20);
  expect(getSocketOption(fds[1], 'typeOfService')).toBe(0);
  setDscp(fds[0], 0);
  expect(getSocketOption(fds[0], 'typeOfService')).toBe(0);
});

test('an IPv6 socket marks both kinds of packets', async () => {
  const server6 = createServer().listen(0, '::1');
  await once(server6, 'listening');
  const client = connect((server6.address() as { port: number }).port, '::1');
  await once(client, 'connect');
  const fd = descriptorOf(client);
  setDscp(fd, 46);
  expect(getSocketOption(fd, 'trafficClass')).toBe(46 << 2);
  expect(getSocketOption(fd, 'typeOfService')).toBe(46 << 2);
  client.destroy();
  server6.close();
});
