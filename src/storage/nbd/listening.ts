/**
 * Listening at an address.
 *
 * Must hold: the socket of a server that lives is never taken away; that of one that has died does not keep the next one
 * out.
 */

import { rmSync } from 'node:fs';
import { connect, type Server } from 'node:net';

type Address = { readonly path: string } | { readonly host: string; readonly port: number };

/** @throws the system's error */
export async function listenAt(server: Server, address: Address): Promise<void> {
  try {
    await tryToListen(server, address);
  } catch (error) {
    const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
    if (!isTaken || !('path' in address) || !(await isLeft(address.path))) throw error;
    rmSync(address.path, { force: true });
    await tryToListen(server, address);
  }
}

function tryToListen(server: Server, address: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Whether it is the socket of a process that has ended: nobody takes connections at it. */
function isLeft(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}
