/** What a connection leaves for whoever takes its descriptor. */
import { once } from 'node:events';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { PREFACE } from '../wire/encoder.ts';
import { decodeControl, encodeControl } from '../wire/message-codec.ts';
import type { ControlMessage } from '../wire/messages.ts';
import { Mailbox } from './mailbox.ts';
import { StreamConnection } from './stream-connection.ts';

const FIRST: ControlMessage = { kind: 'pong', token: 1, wallMs: 1, receivedWallMs: 2 };
const SECOND: ControlMessage = { kind: 'joined', phase: 'receiving', epoch: 3 };
const STREAM = 'NBDMAGICIHAVEOPT';

requireCapability('kernel')('a connection that is read frame by frame', () => {
  test.each([
    1, 7, 8, 9, 4096,
  ])('reads nothing of what follows, also where it comes in pieces of %i bytes', async (size) => {
    const bytes = Buffer.concat([PREFACE, encodeControl(FIRST), encodeControl(SECOND), Buffer.from(STREAM)]);
    const server = createServer({ noDelay: true }, (socket) => {
      for (let at = 0; at < bytes.length; at += size) socket.write(bytes.subarray(at, at + size));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const to = { host: '127.0.0.1', port: (server.address() as AddressInfo).port, dscp: null, tls: null };
    const connection = await StreamConnection.dial(to, 5000, AbortSignal.timeout(5000), 'framewise');
    const inbox = new Mailbox<ControlMessage>();
    connection.receive(({ type, payload }) => inbox.post(decodeControl(type, payload)));
    expect(await inbox.take()).toEqual(FIRST);
    connection.readNext();
    expect(await inbox.take()).toEqual(SECOND);
    const rest = new Socket({ fd: connection.detach() });
    let text = '';
    for await (const chunk of rest) {
      text += String(chunk);
      if (text.length >= STREAM.length) break;
    }
    expect(text).toBe(STREAM);
    server.close();
  });
});
