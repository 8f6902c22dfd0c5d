/**
 * A disk's NBD stream between QEMU's unix socket on this host and a connection to the other host.
 *
 * Owns: both ends, and at the source the socket's name. Must hold: what is not taken at one end is not read at the other;
 * the stream is carried and never looked into; when one end ends, both do.
 */
import { chmodSync, chownSync, rmSync } from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import type { ProcessOwner } from '../linux/process.ts';
import { descriptorOf } from '../linux/socket.ts';
import type { RelayPort } from '../tls/relay-orders.ts';
import { LinkGauge } from '../transfer/link-gauge.ts';

const WATCH_EVERY_MS = 250;

/** Resolves when these bytes may go to the other host. */
export type Pace = (bytes: number) => Promise<void>;

export class DiskRelay {
  /** When it is over, whoever ended it. Never rejects. */
  readonly ended: Promise<void>;
  /** It ends when the other host owes an answer for longer than this. */
  silenceLimitMs: number = Number.POSITIVE_INFINITY;
  readonly #link: Socket;
  readonly #gauge: LinkGauge;
  readonly #pace: Pace;
  #bytesSent = 0;
  #bytesReceived = 0;
  /** When the other host was first sent something since it was heard last; null: it owes nothing, as far as can be seen. */
  #owesSinceMs: number | null = null;
  #local: Socket | undefined;
  readonly #watchdog: NodeJS.Timeout;
  #end!: () => void;
  #isOver = false;

  private constructor(linkFd: number, tls: RelayPort | null, pace: Pace) {
    this.#pace = pace;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#link = new Socket({ fd: linkFd, readable: true, writable: true });
    this.#gauge = new LinkGauge(descriptorOf(this.#link), tls);
    this.#link.setNoDelay(true);
    this.#watch(this.#link);
    this.#watchdog = setInterval(() => this.#lookForSilence(), WATCH_EVERY_MS).unref();
  }

  /**
   * QEMU, as a client, will connect here, once.
   * @param linkFd - a connection to the other host; this object's from now on
   * @param tls - behind which that is
   * @param owner - whose QEMU is
   */
  static async listen(
    linkFd: number,
    tls: RelayPort | null,
    path: string,
    owner: ProcessOwner,
    pace: Pace,
  ): Promise<DiskRelay> {
    const relay = new DiskRelay(linkFd, tls, pace);
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      server.close();
      relay.#carry(socket);
    });
    const close = (): unknown => server.close();
    relay.ended.then(close, close);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(path, resolve);
      });
      chmodSync(path, 0o600);
      chownSync(path, owner.uid, owner.gid);
      return relay;
    } catch (error) {
      relay.stop();
      rmSync(path, { force: true });
      throw error;
    }
  }

  /** Leads to QEMU as a server. */
  static connect(linkFd: number, path: string): DiskRelay {
    const relay = new DiskRelay(linkFd, null, () => Promise.resolve());
    relay.#carry(connect({ path }));
    return relay;
  }

  /** To the other host. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  /** Not acknowledged by the other host's kernel. */
  get unacknowledgedBytes(): number {
    return this.#isOver ? 0 : this.#link.writableLength + this.#gauge.unacknowledgedBytes;
  }

  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#watchdog);
    this.#link.destroy();
    this.#local?.destroy();
    this.#end();
  }

  #carry(local: Socket): void {
    if (this.#isOver) {
      local.destroy();
      return;
    }
    this.#local = local;
    this.#watch(local);
    const outward = this.#pump(local, this.#link, async (bytes) => {
      await this.#pace(bytes);
      this.#bytesSent += bytes;
      this.#owesSinceMs ??= performance.now();
    });
    const inward = this.#pump(this.#link, local, async (bytes) => {
      this.#bytesReceived += bytes;
      this.#owesSinceMs = null;
    });
    const stop = (): void => this.stop();
    Promise.race([outward, inward]).then(stop, stop);
  }

  async #pump(from: Socket, to: Socket, before: Pace): Promise<void> {
    for await (const chunk of from) {
      await before((chunk as Buffer).length);
      if (!to.write(chunk as Buffer)) await roomIn(to);
    }
  }

  #lookForSilence(): void {
    if (this.#owesSinceMs !== null && performance.now() - this.#owesSinceMs > this.silenceLimitMs) this.stop();
  }

  #watch(socket: Socket): void {
    socket.on('error', () => this.stop());
    socket.on('close', () => this.stop());
  }
}

/** Also when it has ended: the next write tells. */
function roomIn(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}
