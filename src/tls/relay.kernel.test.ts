import { once } from 'node:events';
import { rmSync, symlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { certifyServer } from '../../test/support/server-certificate.ts';
import { ADDRESS, TlsHosts } from '../../test/support/tls-hosts.ts';
import { waitUntil, within } from '../../test/support/wait-until.ts';
import { GodwitError } from '../base/errors.ts';
import { sendAll } from '../linux/socket.ts';
import { MAX_UNDECIDED_OF_ADDRESS } from '../migration/undecided-places.ts';
import { dialByRelay } from './relay-orders.ts';
import { readTlsDirectory, TLS_FILES } from './tls-directory.ts';

const DAY_MS = 86_400_000;

let hosts: TlsHosts;
let directories: { a: string; b: string };
beforeEach(async () => {
  hosts = await TlsHosts.create();
  directories = { a: await hosts.certify('a'), b: await hosts.certify('b') };
});
afterEach(() => hosts[Symbol.asyncDispose]());

/** What the dialler is told. */
async function refusalOf(opening: Promise<unknown>): Promise<GodwitError> {
  const error = await opening.then(
    () => new Error('the connection was opened'),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(GodwitError);
  return error as GodwitError;
}

/** Whether by an end or by a reset. */
function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

/** A connection that nobody has begun TLS on. */
async function strangerAt(address: string, says: Buffer = Buffer.alloc(0)): Promise<Socket> {
  const stranger = connect(Number(address.split(':')[1]), ADDRESS);
  // How it ends is not the matter.
  stranger.on('error', () => undefined);
  await once(stranger, 'connect');
  stranger.write(says);
  return stranger;
}

async function pair(atA = directories.a, atB = directories.b) {
  const a = hosts.relay('a', atA);
  const b = hosts.relay('b', atB);
  const { address } = await hosts.listen('b', b.port);
  return { a, b, address };
}

test('two hosts of one authority agree over TLS', async () => {
  const { a, address } = await pair();
  const { agreement } = await hosts.open(address, a.port);
  expect(agreement.host).toBe('b');
});

test('a host of another authority is refused, whichever of the two looks first', async () => {
  await using others = await TlsHosts.create();
  const { a, b, address } = await pair(await others.certify('a'));
  const error = await refusalOf(hosts.open(address, a.port));
  expect(error.message).toBe(`The certificate of ${address} is of no CA that host a trusts`);
  expect(error.code).toBe('GW_TLS_OTHER_CA');
  await waitUntil('the other host has noticed', () => b.news.refused.length === 1);
});

test('a dialler of another authority is told so, although it trusts the host that it dials', async () => {
  await using others = await TlsHosts.create();
  const foreign = await others.certify('a');
  // As if an administrator had copied the right ca.crt beside the wrong certificate.
  others.copy(directories.a, ['ca.crt'], foreign);
  const { a, b, address } = await pair(foreign);
  const error = await refusalOf(hosts.open(address, a.port));
  expect(error.code).toBe('GW_TLS_OTHER_CA');
  expect(error.message).toMatch(/^The certificate of 127\.0\.0\.1:\d+ is of no CA that host b trusts$/);
  await waitUntil('the other host has noticed', () => b.news.refused[0]?.code === 'GW_TLS_OTHER_CA');
});

const TIMES = [
  { code: 'GW_TLS_EXPIRED', fromMs: -30 * DAY_MS, toMs: -DAY_MS, says: 'has expired' },
  { code: 'GW_TLS_NOT_YET_VALID', fromMs: DAY_MS, toMs: 30 * DAY_MS, says: 'is not valid yet' },
] as const;

test.each(TIMES)('a certificate of the wrong time is refused on either side: $code', async ({
  code,
  fromMs,
  toMs,
  says,
}) => {
  const now = Date.now();
  const bad = await hosts.certify('bad', [ADDRESS], { fromMs: now + fromMs, toMs: now + toMs });
  const dialled = await pair(directories.a, bad);
  const atDialler = await refusalOf(hosts.open(dialled.address, dialled.a.port));
  expect(atDialler.code).toBe(code);
  expect(atDialler.message).toContain(`The certificate of ${dialled.address} ${says}`);
  expect(atDialler.message).toContain('as host a sees it');
  const dialling = await pair(bad);
  const atListener = await refusalOf(hosts.open(dialling.address, dialling.a.port));
  expect(atListener.code).toBe(code);
  expect(atListener.message).toContain('as host b sees it');
});

test('a host with a certificate for another name or address is refused', async () => {
  const { a, address } = await pair(directories.a, await hosts.certify('c', ['10.9.9.9']));
  const error = await refusalOf(hosts.open(address, a.port));
  expect(error.code).toBe('GW_TLS_WRONG_NAME');
  expect(error.message).toBe(`The certificate of ${address} is for c, 10.9.9.9, and host a wants that of 127.0.0.1`);
});

test('where the configuration names an address, the certificate has to be for that name', async () => {
  const { address } = await pair();
  const right = hosts.relay('a', directories.a, { names: { [address]: ['b'] } });
  expect((await hosts.open(address, right.port)).agreement.host).toBe('b');
  const wrong = hosts.relay('a', directories.a, { names: { [address]: ['c'] } });
  const error = await refusalOf(hosts.open(address, wrong.port));
  // The address that was dialled, which the certificate has, does not count then.
  expect(error.message).toBe(`The certificate of ${address} is for b, 127.0.0.1, and host a wants that of c`);
});

test('who shows no certificate hears nothing but why', async () => {
  const { b, address } = await pair();
  const { ca } = readTlsDirectory(directories.a);
  const port = Number(address.split(':')[1]);
  const socket = connectTls({ host: ADDRESS, port, ca });
  let heard = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    heard += chunk;
  });
  await new Promise((resolve) => socket.once('close', resolve));
  expect(heard).toContain('GODWIT');
  expect(heard).toContain('No certificate came from');
  expect(heard).not.toContain('welcome');
  await waitUntil('the host has noticed', () => b.news.refused[0]?.code === 'GW_TLS_NO_CERTIFICATE');
});

test('who is not among the hosts that may send is refused', async () => {
  const a = hosts.relay('a', directories.a);
  const b = hosts.relay('b', directories.b, { allow: ['c', 'd'] });
  const { address } = await hosts.listen('b', b.port);
  const error = await refusalOf(hosts.open(address, a.port));
  expect(error.code).toBe('GW_TLS_NOT_ALLOWED');
  expect(error.message).toMatch(
    /^Host b takes no VMs from a, 127\.0\.0\.1 \(127\.0\.0\.1:\d+\): its tlsAllow names others$/,
  );
  const allowing = hosts.relay('b', directories.b, { allow: ['a'] });
  const other = await hosts.listen('b', allowing.port);
  expect((await hosts.open(other.address, a.port)).agreement.host).toBe('b');
});

test('a host that speaks no TLS is told that it has to, and gets no further', async () => {
  const { b, address } = await pair();
  const error = await refusalOf(hosts.open(address, null));
  expect(error.code).toBe('GW_TLS_REQUIRED');
  expect(error.message).toMatch(/^Host b takes migrations over TLS only, and 127\.0\.0\.1:\d+ does not speak it$/);
  await waitUntil('the host has noticed', () => b.news.refused[0]?.code === 'GW_TLS_REQUIRED');
});

test('a host that speaks TLS tells one that does not from one that is not there', async () => {
  const a = hosts.relay('a', directories.a);
  const { address, close } = await hosts.listen('b', null);
  expect(await refusalOf(hosts.open(address, a.port))).toMatchObject({
    code: 'GW_TLS_NOT_SPOKEN',
    message: `What answers at ${address} does not speak TLS`,
  });
  await close();
  expect(await refusalOf(hosts.open(address, a.port))).toMatchObject({
    code: 'GW_PEER_UNREACHABLE',
    message: `Cannot reach the migration port of ${address}: ECONNREFUSED`,
  });
});

test('an older TLS is refused', async () => {
  const { b, address } = await pair();
  const { ca, certificate: cert, key } = readTlsDirectory(directories.a);
  const port = Number(address.split(':')[1]);
  const socket = connectTls({ host: ADDRESS, port, ca, cert, key, maxVersion: 'TLSv1.2' });
  const failed = new Promise<NodeJS.ErrnoException>((resolve) => socket.once('error', resolve));
  expect((await failed).code).toContain('PROTOCOL_VERSION');
  await waitUntil('the host has noticed', () => b.news.refused[0]?.code === 'GW_TLS_FAILED');
});

test('a stranger who says nothing, or too little, holds up nobody, and is sent away in time', async () => {
  const { a, b, address } = await pair();
  const strangers = await Promise.all([strangerAt(address), strangerAt(address, Buffer.from([0x16, 0x03, 0x01]))]);
  expect((await hosts.open(address, a.port)).agreement.host).toBe('b');
  await within('they are sent away', Promise.all(strangers.map((stranger) => closeOf(stranger))), 8000);
  await waitUntil('the host has noticed', () => b.news.refused.length === 2);
  expect(b.news.refused.map(({ details }) => details['reason'])).toEqual(
    strangers.map(() => 'it has not shown who it is within 5000 ms'),
  );
});

test('strangers without end cost those who came first their places, and keep nobody out', async () => {
  const { a, address } = await pair();
  const first = await strangerAt(address);
  const closed = closeOf(first);
  const others: Socket[] = [];
  for (let i = 0; i < MAX_UNDECIDED_OF_ADDRESS; i++) others.push(await strangerAt(address));
  // Long before its time is over: the relay lets go of whom the port has sent away.
  await within('the first is gone', closed, 3000);
  expect((await hosts.open(address, a.port)).agreement.host).toBe('b');
  expect(others.at(-1)!.destroyed).toBe(false);
  for (const stranger of others) stranger.destroy();
});

test('an order that nobody can read is told, and costs nobody a connection', async () => {
  const { a, b, address } = await pair();
  const opened = await hosts.open(address, a.port);
  sendAll(b.port.ordersFd, Buffer.from('{"kind":"dial","ho'));
  await waitUntil('it was told', () => b.news.refused.length === 1);
  expect(opened.connection.isClosed).toBe(false);
  expect((await hosts.open(address, a.port)).agreement.host).toBe('b');
});

test('a host name that no order has room for is refused where it is given', () => {
  const { port } = hosts.relay('a', directories.a);
  expect(() => dialByRelay(port, { host: 'x'.repeat(5000), port: 7710, dscp: null }, 1000)).toThrow(/name is too long/);
});

test('who comes again shows its certificate again', async () => {
  const { b, address } = await pair();
  const { ca, certificate: cert, key } = readTlsDirectory(directories.a);
  const options = { host: ADDRESS, port: Number(address.split(':')[1]), ca };
  const socket = connectTls({ ...options, cert, key });
  const [session] = (await once(socket, 'session')) as [Buffer];
  socket.destroy();
  const again = connectTls({ ...options, session }).resume();
  await once(again, 'secureConnect');
  expect(again.isSessionReused()).toBe(false);
  await waitUntil('it was refused', () => b.news.refused.some(({ code }) => code === 'GW_TLS_NO_CERTIFICATE'));
});

test('a certificate that is for servers alone does not dial', async () => {
  const foreign = await hosts.certify('a');
  await certifyServer(hosts.authority, foreign, 'a');
  const { a, b, address } = await pair(foreign);
  expect(await refusalOf(hosts.open(address, a.port))).toMatchObject({
    code: 'GW_TLS_FAILED',
    details: { reason: 'INVALID_PURPOSE' },
  });
  await waitUntil('the host has noticed', () => b.news.refused[0]?.code === 'GW_TLS_FAILED');
});

test('files that cannot be looked at are told, and the old ones go on serving', async () => {
  const { a, b, address } = await pair();
  const file = `${directories.b}/tls.crt`;
  rmSync(file);
  // Root may look at everything, but not along a circle (ELOOP).
  symlinkSync('tls.crt', file);
  expect((await hosts.open(address, a.port)).agreement.host).toBe('b');
  await waitUntil('it was told', () => b.news.unusable[0]?.message.includes('ELOOP'));
});

test('who connects before a renewal and begins after it sees what is new', async () => {
  const { a, b, address } = await pair();
  const stranger = await strangerAt(address);
  // Orders are taken one after the other: by now the stranger's was.
  await hosts.open(address, a.port);
  hosts.copy(await hosts.certify('new'), TLS_FILES, directories.b);
  const socket = connectTls({ socket: stranger, ca: readTlsDirectory(directories.a).ca, servername: 'new' });
  await once(socket, 'secureConnect');
  expect(socket.getPeerCertificate().subject.CN).toBe('new');
  socket.destroy();
  await waitUntil('it was told', () => b.news.renewed.length === 1);
});

test('renewed files serve the next connection without a restart, and those that cannot serve are told once', async () => {
  const now = Date.now();
  const expired = await hosts.certify('old', [ADDRESS], { fromMs: now - 2 * DAY_MS, toMs: now - DAY_MS });
  const { a, b, address } = await pair(directories.a, expired);
  expect((await refusalOf(hosts.open(address, a.port))).code).toBe('GW_TLS_EXPIRED');
  const fresh = await hosts.certify('new');
  // Half of a pair, as while somebody copies.
  hosts.copy(fresh, ['tls.crt'], expired);
  expect((await refusalOf(hosts.open(address, a.port))).code).toBe('GW_TLS_EXPIRED');
  expect((await refusalOf(hosts.open(address, a.port))).code).toBe('GW_TLS_EXPIRED');
  await waitUntil('it was told', () => b.news.unusable.length > 0);
  expect(b.news.unusable.map(({ message }) => message)).toEqual([expect.stringContaining('tls.key')]);
  hosts.copy(fresh, TLS_FILES, expired);
  expect((await hosts.open(address, a.port)).agreement.host).toBe('b');
  await waitUntil('the new one was told', () => b.news.renewed.length === 1);
  expect(b.news.renewed[0]!.names).toEqual(['new', ADDRESS]);
});
