import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { waitUntil } from '../../test/support/wait-until.ts';
import { descriptorOf } from './socket.ts';
import { readTcpBusy } from './tcp-info.ts';

const BYTES = 4 * 2 ** 20;

test('what was acknowledged is counted, and the time in which something was on its way', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const socket = connect(port, '127.0.0.1');
  const [peer] = await accepted;
  try {
    peer.pause();
    socket.write(new Uint8Array(BYTES));
    // The peer's buffers are full; what is behind them keeps the connection busy.
    await waitUntil('it has been busy', () => readTcpBusy(descriptorOf(socket))!.busyMs >= 20);
    expect(readTcpBusy(descriptorOf(socket))!.acknowledgedBytes).toBeLessThan(BYTES);
    peer.resume();
    await waitUntil('all is acknowledged', () => readTcpBusy(descriptorOf(socket))!.acknowledgedBytes >= BYTES);
    const { busyMs } = readTcpBusy(descriptorOf(socket))!;
    expect(readTcpBusy(descriptorOf(socket))!.busyMs).toBe(busyMs);
    expect(readTcpBusy(0)).toBeUndefined();
  } finally {
    for (const each of [socket, peer, server])
      each instanceof Object && 'destroy' in each ? each.destroy() : each.close();
  }
});
