/**
 * Where a QEMU delivers its device state: a Unix socket of ours that it connects to.
 *
 * Owns: the socket and its name. Must hold: opened before the VM stops, because that costs a turn of the event loop;
 * nobody but QEMU's user can connect; for one save only.
 */
import { chmodSync, chownSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { GodwitError } from '../base/errors.ts';
import type { ProcessOwner } from '../linux/process.ts';

export class StateOutlet implements Disposable {
  readonly path: string;
  /** QEMU's, when it has connected. */
  readonly connection: Promise<Socket>;
  readonly #server: Server;

  private constructor(path: string, server: Server, connection: Promise<Socket>) {
    this.path = path;
    this.#server = server;
    this.connection = connection;
  }

  /**
   * @param path - made here and removed at the end; what has that name already stays and is an error
   * @param owner - whose QEMU is: the socket becomes his, or QEMU could not connect
   */
  static open(path: string, owner?: ProcessOwner): Promise<StateOutlet> {
    return new Promise((resolve, reject) => {
      const server = createServer({ pauseOnConnect: true });
      const connection = new Promise<Socket>((connected) => server.once('connection', connected));
      const fail = (cause: unknown): void =>
        reject(new GodwitError('GW_QEMU_STATE', { action: 'save', reason: `no socket at ${path}` }, { cause }));
      server.once('error', fail);
      server.listen(path, () => {
        try {
          chmodSync(path, 0o600);
          if (owner) chownSync(path, owner.uid, owner.gid);
          resolve(new StateOutlet(path, server, connection));
        } catch (cause) {
          server.close();
          fail(cause);
        }
      });
    });
  }

  [Symbol.dispose](): void {
    // This removes the socket, too.
    this.#server.close();
  }
}
