/**
 * A link between two hosts that can be made slow, late, silent or broken: a TCP proxy in this process.
 *
 * Owns: a listening port and every connection through it. `up` is from who connects to the target, `down` the way back.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { descriptorOf, setSocketOption } from '../../src/linux/socket.ts';
import { LinkPipe } from './link-pipe.ts';
import { LinkShaper } from './link-shaper.ts';
import { within } from './wait-until.ts';

/** The kernel doubles it. */
const RECEIVE_BUFFER_BYTES = 64 * 1024;

export type LinkDirection = 'up' | 'down';

export interface LinkShape {
  readonly bytesPerSecond?: number | undefined;
  readonly delayMs?: number;
}

interface Connection {
  readonly client: Socket;
  readonly target: Socket;
  readonly up: LinkPipe;
  readonly down: LinkPipe;
}

export class LinkProxy implements AsyncDisposable {
  /** HOST:PORT to connect to instead of the target. */
  readonly address: string;
  readonly #server: Server;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #shapers: Record<LinkDirection, LinkShaper> = { up: new LinkShaper(), down: new LinkShaper() };
  readonly #connections = new Set<Connection>();
  readonly #bytes: Record<LinkDirection, number> = { up: 0, down: 0 };
  readonly #watchers = new Set<() => void>();
  #tap: ((piece: Buffer) => void) | undefined;
  #state: 'open' | 'held' | 'cut' = 'open';
  #accepted = 0;

  private constructor(server: Server, target: { host: string; port: number }) {
    this.#server = server;
    this.#target = target;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (client: Socket) => this.#accept(client));
  }

  /** @param target - HOST:PORT */
  static async open(target: string): Promise<LinkProxy> {
    const colon = target.lastIndexOf(':');
    const [host, port] = [target.slice(0, colon).replace(/^\[|\]$/g, ''), Number(target.slice(colon + 1))];
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new LinkProxy(server, { host, port });
  }

  /** Bytes carried so far, those of connections that have ended included. */
  get bytes(): Readonly<Record<LinkDirection, number>> {
    return { ...this.#bytes };
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Connections that were ever made. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Listens in from now on, as somebody on the way can: to both directions of every connection. */
  tap(listener: (piece: Buffer) => void): void {
    this.#tap = listener;
  }

  /** Delay and rate from now on, in both directions or in one. */
  shape(shape: LinkShape, direction?: LinkDirection): void {
    for (const name of direction === undefined ? (['up', 'down'] as const) : [direction]) {
      if ('bytesPerSecond' in shape) this.#shapers[name].bytesPerSecond = shape.bytesPerSecond;
      if (shape.delayMs !== undefined) this.#shapers[name].delayMs = shape.delayMs;
    }
  }

  /** Resets every connection, and every new one, until `restore`. */
  cut(): void {
    this.#state = 'cut';
    for (const connection of this.#connections) this.#drop(connection);
  }

  /** Carries nothing any more and tells nobody (half-open connections), until `restore`. New connections hang too. */
  hold(): void {
    this.#state = 'held';
    this.#setHeld(true);
  }

  /** As it was before `cut` or `hold`; what was held goes on. */
  restore(): void {
    this.#state = 'open';
    this.#setHeld(false);
  }

  /** Waits until this many more bytes have been carried. */
  async carries(bytes: number, direction: LinkDirection, timeoutMs?: number): Promise<void> {
    const goal = this.#bytes[direction] + bytes;
    const { promise, resolve } = Promise.withResolvers<void>();
    const watcher = (): void => {
      if (this.#bytes[direction] >= goal) resolve();
    };
    this.#watchers.add(watcher);
    try {
      await within(`the link has carried ${bytes} more bytes ${direction}`, promise, timeoutMs);
    } finally {
      this.#watchers.delete(watcher);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(client: Socket): void {
    this.#accepted++;
    if (this.#state === 'cut') {
      client.resetAndDestroy();
      return;
    }
    const target = connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    client.setNoDelay(true);
    // Grown by the kernel, it would take some MiB at memory speed, which no network does.
    setSocketOption(descriptorOf(client), 'receiveBufferBytes', RECEIVE_BUFFER_BYTES);
    const pipe = (from: Socket, to: Socket, direction: LinkDirection): LinkPipe =>
      new LinkPipe(from, to, this.#shapers[direction], (piece) => {
        this.#tap?.(piece);
        this.#count(direction, piece.length);
      });
    const connection = { client, target, up: pipe(client, target, 'up'), down: pipe(target, client, 'down') };
    this.#connections.add(connection);
    for (const socket of [client, target]) {
      // The other side hears of a reset at once, unless the link is held: then it hears nothing.
      socket.on('error', () => this.#end(connection));
      socket.on('close', () => {
        if (client.closed && target.closed) this.#connections.delete(connection);
      });
    }
    connection.up.held = this.#state === 'held';
    connection.down.held = this.#state === 'held';
  }

  #end(connection: Connection): void {
    if (this.#state === 'held') return;
    this.#drop(connection);
  }

  #drop(connection: Connection): void {
    connection.up.close();
    connection.down.close();
    for (const socket of [connection.client, connection.target]) socket.resetAndDestroy();
    this.#connections.delete(connection);
  }

  #setHeld(held: boolean): void {
    for (const connection of this.#connections) {
      connection.up.held = held;
      connection.down.held = held;
      const isBroken = connection.client.destroyed || connection.target.destroyed;
      if (!held && isBroken) this.#drop(connection);
    }
  }

  #count(direction: LinkDirection, bytes: number): void {
    this.#bytes[direction] += bytes;
    for (const watcher of [...this.#watchers]) watcher();
  }
}
