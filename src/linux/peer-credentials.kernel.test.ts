import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { peerCredentials } from './peer-credentials.ts';
import { descriptorOf } from './socket.ts';

test('the kernel tells which process has connected, and whose it is', async () => {
  using directory = new TempDirectory();
  const path = directory.join('socket');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connect(path);
  const [socket] = await accepted;
  expect(peerCredentials(descriptorOf(socket))).toEqual({
    pid: process.pid,
    uid: process.getuid!(),
    gid: process.getgid!(),
  });
  client.destroy();
  socket.destroy();
  server.close();
});
