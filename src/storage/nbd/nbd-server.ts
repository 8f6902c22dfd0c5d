/**
 * The block server: listens, and brings clients and exports together.
 *
 * Owns: the listening socket, the clients, the exports. Must hold: every client ends with a reason or by its own will; an
 * export that was taken away has no clients left.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { GodwitError } from '../../base/errors.ts';
import { BufferPool } from './buffer-pool.ts';
import type { ByteChannel } from './byte-channel.ts';
import { ClientCounters, type Counted, commandName } from './client-counters.ts';
import type { Agreement, ExportFacts } from './export.ts';
import { MAX_CLIENTS } from './limits.ts';
import { listenAt } from './listening.ts';
import { Newcomer } from './newcomer.ts';
import type { ServedDisk } from './served-disk.ts';
import { StreamChannel } from './stream-channel.ts';
import { Transmission } from './transmission.ts';

export type ListenAddress = { readonly path: string } | { readonly host: string; readonly port: number };

export type ServerEvent =
  | { readonly kind: 'clientCame'; readonly client: number; readonly peer: string; readonly exportName: string }
  | {
      readonly kind: 'clientWent';
      readonly client: number;
      readonly peer: string;
      /** Why it was cut off. */
      readonly reason: string | null;
      readonly counted: Counted;
    }
  /** Before it had chosen an export. */
  | { readonly kind: 'strangerCutOff'; readonly peer: string; readonly reason: string };

export interface ServedExport {
  readonly disk: ServedDisk;
  /** Of the clients that come by this name. */
  readonly generation: number;
}

export interface NbdServerOptions {
  readonly tls?: SecureContextOptions | undefined;
  readonly pool?: BufferPool;
  onEvent?(event: ServerEvent): void;
}

/** A client that is using an export, and what it has asked for. */
export interface ClientView {
  readonly client: number;
  readonly peer: string;
  readonly exportName: string;
  readonly generation: number;
  readonly openRequests: number;
  /** Since it has used the export. */
  readonly ageMs: number;
  readonly counted: Counted;
}

/** A request that is not over yet. */
export interface RequestView {
  readonly client: number;
  readonly generation: number;
  readonly command: string;
  readonly offset: number;
  readonly bytes: number;
  readonly state: 'waiting' | 'running';
  /** False for what goes on though its client was told that it failed, or has gone. */
  readonly isExpected: boolean;
  readonly ageMs: number;
}

interface PresentClient {
  readonly view: Omit<ClientView, 'openRequests' | 'ageMs' | 'counted'>;
  readonly cameAtMs: number;
  readonly counters: ClientCounters;
  readonly transmission: Transmission;
}

export class NbdServer implements AsyncDisposable {
  readonly pool: BufferPool;
  readonly #options: NbdServerOptions;
  readonly #exports = new Map<string, ServedExport>();
  readonly #facts = new Map<string, ExportFacts>();
  readonly #newcomers = new Set<Newcomer>();
  readonly #clients = new Map<number, PresentClient>();
  readonly #servers: Server[] = [];
  #lastId = 0;
  #nobodyLeft: (() => void) | undefined;

  constructor(options: NbdServerOptions = {}) {
    this.#options = options;
    this.pool = options.pool ?? new BufferPool();
  }

  /**
   * Where clients can come from now on; with port 0 the system chooses. A unix socket that a dead server has left is
   * taken over.
   * @throws GW_NBD_LISTEN
   */
  async listen(address: ListenAddress): Promise<ListenAddress> {
    const server = createServer({ noDelay: true }, (socket) => this.#welcome(socket));
    this.#servers.push(server);
    const name = 'path' in address ? address.path : `${address.host}:${address.port}`;
    try {
      await listenAt(server, address);
    } catch (cause) {
      const reason = explainListen(cause as NodeJS.ErrnoException);
      throw new GodwitError('GW_NBD_LISTEN', { address: name, reason }, { cause });
    }
    const bound = server.address();
    return typeof bound === 'object' && bound ? { host: bound.address, port: bound.port } : address;
  }

  addExport(name: string, served: ServedExport): void {
    const { image, isReadOnly } = served.disk;
    this.#exports.set(name, served);
    this.#facts.set(name, { name, bytes: image.bytes, isReadOnly, minBlockBytes: image.minBlockBytes });
  }

  /** Nobody can use it any more; who does gets the answers that are due, and is gone. */
  removeExport(name: string): void {
    this.#exports.delete(name);
    this.#facts.delete(name);
    for (const { view, transmission } of this.#clients.values()) if (view.exportName === name) transmission.leave();
  }

  clients(): ClientView[] {
    return [...this.#clients.values()].map(({ view, counters, cameAtMs }) => ({
      ...view,
      ageMs: performance.now() - cameAtMs,
      openRequests: counters.open,
      counted: counters.counted,
    }));
  }

  /** Of all clients of a disk, whatever name they came by. */
  requests(disk: ServedDisk): RequestView[] {
    const nowMs = performance.now();
    return [...disk.table.requests()].map(({ client, generation, request, state, isAnswered, arrivedMs }) => ({
      client: client.id,
      generation,
      command: commandName(request.command),
      offset: request.offset,
      bytes: request.bytes,
      state,
      isExpected: !isAnswered,
      ageMs: nowMs - arrivedMs,
    }));
  }

  /** Takes no more clients and requests; resolves when every client has its answers and is gone. */
  async close(): Promise<void> {
    for (const server of this.#servers.splice(0)) server.close();
    for (const newcomer of this.#newcomers) newcomer.leave();
    if (this.#clients.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#nobodyLeft = resolve;
    for (const { transmission } of this.#clients.values()) transmission.leave();
    await promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #welcome(socket: Socket): void {
    if (this.#clients.size + this.#newcomers.size >= MAX_CLIENTS) {
      socket.destroy();
      return;
    }
    const peer = socket.remoteAddress === undefined ? 'local' : `${socket.remoteAddress}:${socket.remotePort}`;
    const newcomer: Newcomer = new Newcomer({
      channel: new StreamChannel(socket, peer),
      exports: this.#facts,
      tls: this.#options.tls,
      onChosen: (channel, agreement, answer, rest) => {
        this.#newcomers.delete(newcomer);
        this.#admit(channel, agreement, answer, rest);
      },
      onEnd: (reason) => {
        this.#newcomers.delete(newcomer);
        if (reason !== undefined) this.#options.onEvent?.({ kind: 'strangerCutOff', peer, reason });
      },
    });
    this.#newcomers.add(newcomer);
    newcomer.begin();
  }

  #admit(channel: ByteChannel, agreement: Agreement, answer: Uint8Array, rest: Uint8Array): void {
    const { exportName } = agreement;
    const { disk, generation } = this.#exports.get(exportName)!;
    const client = ++this.#lastId;
    const counters = new ClientCounters();
    const transmission = new Transmission({
      ...{ id: client, generation, agreement, disk, channel, counters },
      facts: this.#facts.get(exportName)!,
      pool: this.pool,
      onEnd: (reason) => {
        this.#clients.delete(client);
        const { counted } = counters;
        this.#options.onEvent?.({ kind: 'clientWent', client, peer: channel.peer, reason: reason ?? null, counted });
        if (this.#clients.size === 0) this.#nobodyLeft?.();
      },
    });
    const view = { client, peer: channel.peer, exportName, generation };
    this.#clients.set(client, { view, counters, transmission, cameAtMs: performance.now() });
    this.#options.onEvent?.({ kind: 'clientCame', client, peer: channel.peer, exportName });
    channel.begin(transmission);
    channel.send([answer]);
    for (let at = 0; at < rest.length; ) {
      const room = transmission.writable();
      const count = Math.min(room.length, rest.length - at);
      room.set(rest.subarray(at, at + count));
      at += count;
      transmission.received(count);
    }
  }
}

function explainListen(error: NodeJS.ErrnoException): string {
  if (error.code === 'EADDRINUSE') return 'it is taken; give another one';
  if (error.code === 'EADDRNOTAVAIL') return 'this machine has no such address';
  if (error.code === 'EACCES') return 'not permitted';
  return error.code ?? error.message;
}
