/**
 * Stands between a daemon and the QMP socket of a QEMU: cuts connections, and answers commands with an error instead of QEMU.
 *
 * Owns: the socket's name while it stands there; QEMU's own is put back when it goes.
 */
import { rename, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';

interface Command {
  readonly execute: string;
  readonly id: number;
}

export class QmpProxy implements AsyncDisposable {
  /** So many of the next commands of a name fail. */
  readonly refusals = new Map<string, number>();
  /** Connections are taken, and nothing comes. */
  isMute = false;
  readonly #path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(path: string) {
    this.#path = path;
    this.#server = createServer((client) => this.#join(client));
  }

  static async open(path: string): Promise<QmpProxy> {
    const proxy = new QmpProxy(path);
    await rename(path, proxy.#qemuPath);
    await new Promise<void>((resolve) => proxy.#server.listen(path, resolve));
    return proxy;
  }

  /** Ends the connections that there are; QEMU takes others. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#path, { force: true });
    await rename(this.#qemuPath, this.#path).catch(() => undefined);
  }

  get #qemuPath(): string {
    return `${this.#path}.qemu`;
  }

  #join(client: Socket): void {
    if (this.isMute) {
      this.#sockets.add(client);
      client.on('error', () => undefined);
      client.on('close', () => this.#sockets.delete(client));
      return;
    }
    const qemu = connect(this.#qemuPath);
    for (const [socket, other] of [
      [client, qemu],
      [qemu, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    qemu.pipe(client);
    let rest = '';
    client.on('data', (chunk) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const command = JSON.parse(line) as Command;
        if (!this.#refuses(command)) qemu.write(`${line}\n`);
        else client.write(`${JSON.stringify({ error: { class: 'GenericError', desc: 'not now' }, id: command.id })}\n`);
      }
    });
  }

  #refuses({ execute }: Command): boolean {
    const left = this.refusals.get(execute) ?? 0;
    if (left > 0) this.refusals.set(execute, left - 1);
    return left > 0;
  }
}
