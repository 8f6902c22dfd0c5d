/**
 * The connection of a shared region, used by one blocking thread on each side.
 *
 * Owns: the descriptor, its decoder, and what waits to be sent. Must hold: neither reading nor sending ever waits, or two
 * sides that have much to say would wait for each other; what is said is folded into as few calls as possible; a
 * connection whose peer says nothing is lost like one that was cut; a lost connection is a value.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import { UNACKNOWLEDGED_LIMIT_MS } from '../base/link-limits.ts';
import type { PageIndex } from '../base/page.ts';
import { closeFd, receiveSome, sendSome, setLinkOption, shutdownSocket } from '../linux/socket.ts';
import { FrameDecoder } from '../wire/decoder.ts';
import { FrameType, frameName, type PeerRole } from '../wire/frame-types.ts';
import { decodeControl, encodeControl, isControl } from '../wire/message-codec.ts';
import type { ControlMessage } from '../wire/messages.ts';
import { decodeSharedPage, readSharedPairs } from '../wire/shared-pages.ts';
import { SharedWriter } from '../wire/shared-writer.ts';
import type { RegionMessage } from './region-words.ts';

/** Somebody who has nothing to say says so after this time. */
const QUIET_MS = 1_000;
const SILENT_MS = 10_000;
/** More is not read while so much waits to be sent: a peer that only asks and takes nothing gets no memory for it. */
const MAX_PENDING_BYTES = 16 * 1024 * 1024;

export interface RegionHearer {
  /** @param data - of a page; valid until it returns; null: zeros */
  message(message: RegionMessage, data: Uint8Array | null): void;
  control(message: ControlMessage): void;
}

export interface ConnectionBytes {
  readonly sent: number;
  readonly received: number;
}

export class RegionConnection implements Disposable {
  readonly fd: number;
  readonly #pages: number;
  readonly #decoder: FrameDecoder;
  readonly #writer = new SharedWriter();
  #sent = 0;
  #received = 0;
  #heardAtMs = performance.now();
  #lookedAtMs = performance.now();
  #askedAtMs = performance.now();
  #open = true;

  /** @param pages - of the region */
  constructor(fd: number, peerRole: PeerRole, pages: number) {
    this.fd = fd;
    this.#pages = pages;
    this.#decoder = new FrameDecoder(peerRole, 'seen');
    setLinkOption(fd, 'noDelay', 1);
    setLinkOption(fd, 'userTimeoutMs', UNACKNOWLEDGED_LIMIT_MS);
  }

  get bytes(): ConnectionBytes {
    return { sent: this.#sent, received: this.#received };
  }

  /** Something waits until the kernel has room. */
  get isPending(): boolean {
    return this.#writer.pendingBytes > 0;
  }

  get mayRead(): boolean {
    return this.#writer.pendingBytes < MAX_PENDING_BYTES;
  }

  /** @param data - of a page */
  say(message: RegionMessage, data: (page: PageIndex) => Uint8Array | null): void {
    switch (message.kind) {
      case 'page':
        this.#writer.page(message.page, message.turn, data(message.page));
        return;
      case 'ask':
        this.#writer.pair('sharedAsks', message.page, message.turn);
        return;
      case 'acknowledge':
        this.#writer.pair('sharedAcks', message.page, message.turn);
        return;
      case 'complete':
        this.sayControl({ kind: 'regionComplete' });
        return;
      case 'completed':
        this.sayControl({ kind: 'regionCompleted' });
        return;
    }
  }

  sayControl(message: ControlMessage): void {
    this.#writer.frame(encodeControl(message));
  }

  /** Gives the kernel what it has room for. Returns why the connection is lost, if it is. */
  flush(): string | undefined {
    while (this.isPending) {
      try {
        const bytes = sendSome(this.fd, this.#writer.pending, false);
        if (bytes === 0) return undefined;
        this.#sent += bytes;
        this.#writer.taken(bytes);
      } catch (error) {
        return lossOf(error);
      }
    }
    return undefined;
  }

  /**
   * Hands on what has come. Returns why the connection is lost, if it is.
   * @throws GW_WIRE_… when the peer breaks the rules, and what the hearer throws
   */
  read(hearer: RegionHearer): string | undefined {
    let bytes: number;
    try {
      bytes = receiveSome(this.fd, this.#decoder.writable());
    } catch (error) {
      return lossOf(error);
    }
    if (bytes === 0) return 'the other host closed it';
    if (bytes < 0) return undefined;
    this.#received += bytes;
    this.#heardAtMs = performance.now();
    this.#decoder.commit(bytes);
    for (let step = this.#decoder.next(); step.kind === 'frame' && this.#open; step = this.#decoder.next()) {
      this.#hear(step.type, step.payload, hearer);
    }
    return undefined;
  }

  /** Called every now and then. Returns why the connection is lost, if it is. */
  keepAlive(nowMs: number): string | undefined {
    // A moment in which this thread could not look is not held against the other host.
    this.#heardAtMs += Math.max(0, nowMs - this.#lookedAtMs - QUIET_MS);
    this.#lookedAtMs = nowMs;
    const silentMs = nowMs - this.#heardAtMs;
    if (silentMs >= SILENT_MS) return `the other host said nothing for ${Math.round(silentMs)} ms`;
    if (silentMs >= QUIET_MS && nowMs - this.#askedAtMs >= QUIET_MS) {
      this.#askedAtMs = nowMs;
      this.sayControl({ kind: 'ping', token: 0, wallMs: SYSTEM_CLOCK.wallMs() });
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    shutdownSocket(this.fd);
    closeFd(this.fd);
  }

  #hear(type: FrameType, payload: Uint8Array, hearer: RegionHearer): void {
    if (type === FrameType.sharedPage) {
      const { page, turn, data } = decodeSharedPage(payload, this.#pages);
      hearer.message({ kind: 'page', page, turn }, data);
    } else if (type === FrameType.sharedAsks || type === FrameType.sharedAcks) {
      const kind = type === FrameType.sharedAsks ? 'ask' : 'acknowledge';
      readSharedPairs(frameName(type), payload, this.#pages, (page, turn) => {
        if (this.#open) hearer.message({ kind, page, turn }, null);
      });
    } else if (isControl(type)) {
      this.#hearControl(decodeControl(type, payload), hearer);
    } else {
      throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: frameName(type), reason: 'it is none of a region' });
    }
  }

  #hearControl(message: ControlMessage, hearer: RegionHearer): void {
    if (message.kind === 'regionComplete') hearer.message({ kind: 'complete' }, null);
    else if (message.kind === 'regionCompleted') hearer.message({ kind: 'completed' }, null);
    else hearer.control(message);
    if (message.kind !== 'ping') return;
    const wallMs = SYSTEM_CLOCK.wallMs();
    this.sayControl({ kind: 'pong', token: message.token, wallMs, receivedWallMs: wallMs });
  }
}

function lossOf(error: unknown): string {
  if (!(error instanceof GodwitError)) throw error;
  return String(error.details['errno'] ?? error.message);
}
