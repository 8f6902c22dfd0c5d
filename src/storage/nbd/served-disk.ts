/**
 * One image that is served: its requests, and what the storage does for them.
 *
 * Owns: the image, the table of requests, the dirty blocks. Must hold: a request's memory is given back when the storage
 * is done with it and, of a read, when its client's connection is, too.
 */
import type { BufferPool } from './buffer-pool.ts';
import { type ByteRange, DirtyBlocks } from './dirty-blocks.ts';
import { MAX_EXTENTS } from './limits.ts';
import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_FLAG_DF,
  NBD_CMD_FLAG_FAST_ZERO,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLAG_REQ_ONE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NbdError,
} from './numbers.ts';
import type { RawImage } from './raw-image.ts';
import type { Extent } from './replies.ts';
import { type HoldPolicy, RequestTable } from './request-table.ts';
import type { TrackedRequest } from './tracked-request.ts';

export interface ServedDiskOptions {
  readonly image: RawImage;
  readonly isReadOnly: boolean;
  readonly pool: BufferPool;
  /** Of the clients that may change the image at first. */
  readonly generation?: number;
  /** See RequestTable; false in tests only. */
  readonly isFenced?: boolean;
}

/** What was collected of the dirty blocks. */
export interface CollectedBlocks {
  readonly ranges: readonly ByteRange[];
  /** False: there were more than so many ranges, and the others are still to be collected. */
  readonly isAll: boolean;
  /** Writes under way: their blocks are in `ranges`, and will be again. */
  readonly changing: number;
}

/**
 * Some more than libuv's pool has threads (4 by default), so that it is never idle; few, because what was given to it
 * cannot be taken back and has to be waited for by a fence. Reads of what is in the page cache take none.
 */
const MAX_RUNNING = 16;
/** Below it the search for holes costs more than sending zeroes does. */
const HOLE_SEARCH_FROM_BYTES: number = 64 * 1024;

export class ServedDisk {
  readonly image: RawImage;
  readonly isReadOnly: boolean;
  readonly table: RequestTable;
  readonly #pool: BufferPool;
  #dirty: DirtyBlocks | undefined;
  #stalls: HoldPolicy = () => false;
  readonly #stalled: TrackedRequest[] = [];

  constructor({ image, isReadOnly, pool, generation, isFenced }: ServedDiskOptions) {
    this.image = image;
    this.isReadOnly = isReadOnly;
    this.#pool = pool;
    this.table = new RequestTable(
      {
        maxRunning: MAX_RUNNING,
        begin: (tracked) => this.#begin(tracked),
        willChange: (offset, bytes) => this.#dirty?.mark(offset, bytes),
        ...(isFenced === undefined ? {} : { isFenced }),
      },
      generation,
    );
  }

  /** From now on it is known which blocks are written; those written at this moment count. */
  trackWrites(blockBytes?: number): void {
    this.#dirty = new DirtyBlocks(this.image.bytes, blockBytes);
    this.#dirty.collect(this.table.runningChanges());
  }

  stopTracking(): void {
    this.#dirty = undefined;
  }

  /** Undefined when nobody is tracking. */
  collectDirty(maxRanges?: number): CollectedBlocks | undefined {
    if (!this.#dirty) return undefined;
    const changes = [...this.table.runningChanges()];
    return { ...this.#dirty.collect(changes, maxRanges), changing: changes.length };
  }

  /** What has begun and is of such a kind stays with the storage until the next call, as if that hung. */
  stall(policy: HoldPolicy): void {
    this.#stalls = policy;
    for (const tracked of this.#stalled.splice(0)) this.#begin(tracked);
  }

  #begin(tracked: TrackedRequest): void {
    if (this.#stalls(tracked.request)) {
      this.#stalled.push(tracked);
      return;
    }
    const { command, flags, offset, bytes, data } = tracked.request;
    const isDurable = (flags & NBD_CMD_FLAG_FUA) !== 0;
    const done = (error: NbdError): void => this.table.finish(tracked, error);
    switch (command) {
      case NBD_CMD_READ:
        this.#read(tracked, done);
        return;
      case NBD_CMD_WRITE:
        this.image.write(data!, offset, isDurable, (error) => {
          this.#pool.giveBack(data!);
          done(error);
        });
        return;
      case NBD_CMD_FLUSH:
        this.image.flush(done);
        return;
      case NBD_CMD_TRIM:
        this.image.trim(offset, bytes, isDurable, done);
        return;
      case NBD_CMD_BLOCK_STATUS: {
        const limit = (flags & NBD_CMD_FLAG_REQ_ONE) !== 0 ? 1 : MAX_EXTENTS;
        tracked.extents = this.image.extents(offset, bytes, limit);
        done(NbdError.none);
        return;
      }
      default: {
        const mayPunch = (flags & NBD_CMD_FLAG_NO_HOLE) === 0;
        const isFast = (flags & NBD_CMD_FLAG_FAST_ZERO) !== 0;
        this.image.zero(offset, bytes, { mayPunch, isFast, isDurable }, done);
      }
    }
  }

  #read(tracked: TrackedRequest, done: (error: NbdError) => void): void {
    const { flags, offset, bytes } = tracked.request;
    const memory = this.#pool.take(bytes);
    // It was answered meanwhile (cancelled): nobody takes what was read.
    const finish = (error: NbdError): void => {
      if (tracked.isAnswered) this.#pool.giveBack(memory);
      else tracked.read = memory;
      done(error);
    };
    const isSearched = tracked.client.takesHoles && bytes >= HOLE_SEARCH_FROM_BYTES && (flags & NBD_CMD_FLAG_DF) === 0;
    const extents = isSearched ? this.image.extents(offset, bytes, MAX_EXTENTS) : [];
    const isCovered = extents.reduce((sum, extent) => sum + extent.bytes, 0) === bytes;
    if (!isCovered || !extents.some(({ isHole }) => isHole)) {
      this.image.read(memory, offset, finish);
      return;
    }
    tracked.extents = extents;
    const data = extents.filter(({ isHole }) => !isHole);
    this.#readEach(data, 0, memory, offset, finish);
  }

  #readEach(
    data: readonly Extent[],
    index: number,
    memory: Uint8Array,
    base: number,
    finish: (error: NbdError) => void,
  ): void {
    const extent = data[index];
    if (!extent) {
      finish(NbdError.none);
      return;
    }
    const from = extent.offset - base;
    this.image.read(memory.subarray(from, from + extent.bytes), extent.offset, (error) => {
      if (error !== NbdError.none) finish(error);
      else this.#readEach(data, index + 1, memory, base, finish);
    });
  }
}
