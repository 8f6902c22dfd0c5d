import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ADDRESS, TlsHosts } from '../../test/support/tls-hosts.ts';
import { within } from '../../test/support/wait-until.ts';
import { descriptorOf } from '../linux/socket.ts';
import { Reception } from './reception.ts';
import type { Secured } from './secured.ts';
import { readTlsDirectory } from './tls-directory.ts';

/** A record of a handshake that says it is longer than what has come of it. */
const BEGUN = Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]);

let resources: AsyncDisposableStack;
let reception: Reception;
let credentials: () => { ca: string; cert: string; key: string };
let server: Server;

beforeEach(async () => {
  resources = new AsyncDisposableStack();
  const hosts = resources.use(await TlsHosts.create());
  const { ca, certificate: cert, key } = readTlsDirectory(await hosts.certify('b'));
  credentials = () => ({ ca, cert, key });
  reception = new Reception({ by: 'b', allow: undefined });
  server = createServer({ pauseOnConnect: true }).listen(0, ADDRESS);
  resources.defer(() => void server.close());
  await once(server, 'listening');
});
afterEach(() => resources.disposeAsync());

interface Arrived {
  readonly stranger: Socket;
  readonly received: Promise<Secured>;
  readonly ending: AbortController;
}

/** Whether by an end or by a reset. */
function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

async function arrive(): Promise<Arrived> {
  const stranger = connect((server.address() as { port: number }).port, ADDRESS).resume();
  resources.defer(() => void stranger.destroy());
  // How it ends is not the matter.
  stranger.on('error', () => undefined);
  const [tcp] = (await once(server, 'connection')) as [Socket];
  const ending = new AbortController();
  const arrival = { tcp, tcpFd: descriptorOf(tcp), peer: 'the stranger', signal: ending.signal };
  const received = reception.receive(arrival, credentials);
  received.catch(() => undefined);
  return { stranger, received, ending };
}

test.each([
  ['nothing', Buffer.alloc(0)],
  ['the first byte', BEGUN.subarray(0, 1)],
  ['half a record', BEGUN],
])('who has said %s when the time is over is cut off', async (_what, said) => {
  const { stranger, received, ending } = await arrive();
  if (said.length > 0) await new Promise<void>((resolve) => stranger.write(said, () => resolve()));
  // It has come here, too: both ends are of this thread.
  await new Promise((resolve) => setImmediate(resolve));
  ending.abort(new Error('the time is over'));
  await expect(received).rejects.toMatchObject({ code: 'GW_TLS_FAILED', details: { reason: 'the time is over' } });
  await within('the stranger is cut off', closeOf(stranger));
});

test('whose handshake fails is cut off, though it keeps its end open', async () => {
  const { stranger, received } = await arrive();
  stranger.write(Buffer.concat([Buffer.from([0x16, 0x03, 0x01, 0x00, 0x04]), Buffer.alloc(4, 0xff)]));
  await expect(received).rejects.toMatchObject({ code: 'GW_TLS_FAILED' });
  await within('the stranger is cut off', closeOf(stranger));
});

test('who is being told why he is refused is received until he has heard it', async () => {
  const { stranger, received } = await arrive();
  let isOver = false;
  received.catch(() => {
    isOver = true;
  });
  stranger.pause().write('GODWIT');
  await once(stranger, 'readable');
  expect(isOver).toBe(false);
  stranger.destroy();
  await expect(received).rejects.toMatchObject({ code: 'GW_TLS_REQUIRED' });
});
