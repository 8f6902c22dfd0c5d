/**
 * One client that uses an export: its requests in, its replies out.
 *
 * Owns: what of the client is unanswered. Must hold: while too much of it is unanswered a client is not read from, and what
 * it has sent already is not looked at: a few bytes can ask for gigabytes; memory of a read goes back to the pool when
 * its last byte has left, or never will; a client that takes its leave gets its answers first.
 */
import { asGodwitError, explain } from '../../base/errors.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { ByteChannel, ChannelEvents } from './byte-channel.ts';
import type { ClientCounters } from './client-counters.ts';
import type { Agreement, ExportFacts } from './export.ts';
import { MAX_OPEN_BYTES, MAX_OPEN_REQUESTS } from './limits.ts';
import { NBD_CMD_BLOCK_STATUS, NBD_CMD_DISC, NBD_CMD_READ, NbdError } from './numbers.ts';
import {
  type Extent,
  encodeBlockStatus,
  encodeDataHeader,
  encodeError,
  encodeHole,
  encodeNone,
  encodeSimpleReply,
} from './replies.ts';
import { checkRequest } from './request-check.ts';
import { type NbdRequest, RequestDecoder } from './request-decoder.ts';
import type { ServedDisk } from './served-disk.ts';
import { type RequestClient, TrackedRequest } from './tracked-request.ts';

export interface TransmissionOptions {
  readonly id: number;
  readonly generation: number;
  readonly facts: ExportFacts;
  readonly agreement: Agreement;
  readonly disk: ServedDisk;
  readonly channel: ByteChannel;
  readonly pool: BufferPool;
  readonly counters: ClientCounters;
  /** @param reason - why it was cut off; undefined when it took its leave, or went */
  onEnd(reason: string | undefined): void;
}

const ERROR_TEXTS: ReadonlyMap<NbdError, string> = new Map([
  [NbdError.EPERM, 'not permitted'],
  [NbdError.EIO, 'the storage failed, or the request was cancelled'],
  [NbdError.ENOSPC, 'the storage is full'],
  [NbdError.ENOTSUP, 'the storage cannot do that fast'],
  [NbdError.ESHUTDOWN, 'another host has the disk now'],
]);

export class Transmission implements RequestClient, ChannelEvents {
  readonly id: number;
  readonly takesHoles: boolean;
  readonly #options: TransmissionOptions;
  readonly #decoder: RequestDecoder;
  /** Answers that have not left count as open. */
  #openRequests = 0;
  #openBytes = 0;
  #isPaused = false;
  #isLeaving = false;
  #isOver = false;

  constructor(options: TransmissionOptions) {
    this.id = options.id;
    this.takesHoles = options.agreement.hasStructuredReplies;
    this.#options = options;
    this.#decoder = new RequestDecoder((bytes) => options.pool.take(bytes));
  }

  writable(): Uint8Array {
    return this.#decoder.writable();
  }

  received(bytes: number): void {
    if (this.#isLeaving) return;
    this.#decoder.commit(bytes);
    this.#takeAll();
  }

  closed(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.disk.table.forget(this.id);
    this.#options.onEnd(undefined);
  }

  answer(tracked: TrackedRequest, error: NbdError): void {
    const { request } = tracked;
    this.#options.counters.answered(error !== NbdError.none);
    if (error !== NbdError.none) {
      if (tracked.read) this.#options.pool.giveBack(tracked.read);
      if (tracked.state === 'waiting' && request.data) this.#options.pool.giveBack(request.data);
      this.#refuse(request, error, ERROR_TEXTS.get(error) ?? `error ${error}`);
    } else if (request.command === NBD_CMD_READ) {
      this.#sendRead(tracked, tracked.read!);
    } else if (request.command === NBD_CMD_BLOCK_STATUS) {
      this.#send([encodeBlockStatus(request, tracked.extents!)], request);
    } else {
      this.#send([this.takesHoles ? encodeNone(request) : encodeSimpleReply(request, NbdError.none)], request);
    }
  }

  /** Takes no more requests, and closes when those that there are have been answered. */
  leave(): void {
    this.#isLeaving = true;
    this.#options.channel.pause();
    if (this.#openRequests === 0) this.#options.channel.end();
  }

  /** What has come, as far as there is room for it; with more the client waits. */
  #takeAll(): void {
    try {
      while (!this.#isLeaving && !this.#isFull()) {
        const request = this.#decoder.next();
        if (!request) return;
        this.#take(request);
      }
    } catch (error) {
      const wrong = asGodwitError(error);
      if (wrong.code !== 'GW_NBD_PROTOCOL') throw error;
      this.#cutOff(explain(wrong));
    }
    if (this.#isLeaving || this.#isPaused) return;
    this.#isPaused = true;
    this.#options.channel.pause();
  }

  #take(request: NbdRequest): void {
    if (request.command === NBD_CMD_DISC) {
      this.leave();
      return;
    }
    const { facts, agreement, generation, disk, pool, counters } = this.#options;
    this.#openRequests++;
    this.#openBytes += memoryOf(request);
    counters.took(request);
    const problem = checkRequest(request, facts, agreement);
    if (problem) {
      if (request.data) pool.giveBack(request.data);
      counters.answered(true);
      this.#refuse(request, problem.error, problem.text);
    } else {
      disk.table.submit(new TrackedRequest(this, generation, request, performance.now()));
    }
  }

  #sendRead(tracked: TrackedRequest, memory: Uint8Array): void {
    const { request, extents } = tracked;
    const giveBack = (): void => this.#options.pool.giveBack(memory);
    if (!this.takesHoles) {
      this.#send([encodeSimpleReply(request, NbdError.none), memory], request, giveBack);
      return;
    }
    if (!extents) {
      this.#send([encodeDataHeader(request, request.offset, request.bytes, true), memory], request, giveBack);
      return;
    }
    const pieces = extents.flatMap((extent, index) => pieceOf(request, extent, memory, index === extents.length - 1));
    this.#send(pieces, request, giveBack);
  }

  #refuse(request: NbdRequest, error: NbdError, text: string): void {
    this.#send([this.takesHoles ? encodeError(request, error, text) : encodeSimpleReply(request, error)], request);
  }

  #send(pieces: readonly Uint8Array[], request: NbdRequest, release?: () => void): void {
    const sent = (): void => {
      release?.();
      this.#openRequests--;
      this.#openBytes -= memoryOf(request);
      this.#goOn();
    };
    if (this.#isOver) sent();
    else this.#options.channel.send(pieces, sent);
  }

  #goOn(): void {
    if (this.#isOver) return;
    if (this.#isLeaving) {
      if (this.#openRequests === 0) this.#options.channel.end();
    } else if (this.#isPaused && !this.#isFull()) {
      this.#takeAll();
      if (this.#isLeaving || this.#isFull()) return;
      this.#isPaused = false;
      this.#options.channel.resume();
    }
  }

  #isFull(): boolean {
    return this.#openRequests >= MAX_OPEN_REQUESTS || this.#openBytes >= MAX_OPEN_BYTES;
  }

  #cutOff(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#isLeaving = true;
    this.#options.disk.table.forget(this.id);
    this.#options.channel.destroy();
    this.#options.onEnd(reason);
  }
}

function pieceOf(request: NbdRequest, extent: Extent, memory: Uint8Array, isLast: boolean): Uint8Array[] {
  const { offset, bytes, isHole } = extent;
  if (isHole) return [encodeHole(request, offset, bytes, isLast)];
  const from = offset - request.offset;
  return [encodeDataHeader(request, offset, bytes, isLast), memory.subarray(from, from + bytes)];
}

/** Memory that the request holds, for its data or for that of its reply. */
function memoryOf({ command, bytes, data }: NbdRequest): number {
  return command === NBD_CMD_READ || data ? bytes : 0;
}
