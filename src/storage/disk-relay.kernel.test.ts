/** Streams through real sockets. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { descriptorOf, duplicateFd } from '../linux/socket.ts';
import { DiskRelay, type Pace } from './disk-relay.ts';

const OWNER = { uid: process.getuid!(), gid: process.getgid!() };

/** A relay on its way from a client at a unix socket to somebody at the other end of a TCP connection. */
async function openRelay(directory: TempDirectory, pace: Pace) {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const dialled = connect({ port: (server.address() as { port: number }).port });
  const [[other]] = await Promise.all([accepted, once(dialled, 'connect')]);
  const relay = await DiskRelay.listen(
    duplicateFd(descriptorOf(dialled)),
    null,
    directory.join('disk.sock'),
    OWNER,
    pace,
  );
  dialled.destroy();
  const client = connect({ path: directory.join('disk.sock') });
  await once(client, 'connect');
  const close = (): void => {
    for (const socket of [client, other]) socket.destroy();
    relay.stop();
    server.close();
  };
  return { relay, client, other, [Symbol.dispose]: close };
}

requireCapability('kernel')('a relay', () => {
  describe('between QEMU and the other host', () => {
    test('carries both ways, counts, and asks for each byte that it sends', async () => {
      using directory = new TempDirectory();
      let paced = 0;
      using ends = await openRelay(directory, async (bytes) => {
        paced += bytes;
      });
      ends.client.write('ask');
      expect(String((await once(ends.other, 'data'))[0])).toBe('ask');
      ends.other.write('answer');
      expect(String((await once(ends.client, 'data'))[0])).toBe('answer');
      expect({ paced, sent: ends.relay.bytesSent, received: ends.relay.bytesReceived }).toEqual({
        paced: 3,
        sent: 3,
        received: 6,
      });
    });

    test('ends with either end', async () => {
      for (const end of ['client', 'other'] as const) {
        using directory = new TempDirectory();
        using ends = await openRelay(directory, async () => undefined);
        ends[end].destroy();
        await ends.relay.ended;
        expect(ends.relay.unacknowledgedBytes).toBe(0);
      }
    });

    test('ends when the other host owes an answer for longer than allowed, and not before it owes one', async () => {
      using directory = new TempDirectory();
      using ends = await openRelay(directory, async () => undefined);
      const closed = once(ends.client, 'close');
      ends.relay.silenceLimitMs = 300;
      ends.client.write('first');
      await once(ends.other, 'data');
      ends.other.write('answer');
      await once(ends.client, 'data');
      expect(ends.client.destroyed).toBe(false);
      const fromMs = performance.now();
      ends.client.write('second');
      await closed;
      expect(performance.now() - fromMs).toBeGreaterThan(300);
    });
  });
});
