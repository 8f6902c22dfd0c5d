/**
 * A guest on a disk whose requests are cancelled, reissued and fenced, step by step as it is told.
 *
 * Owns: the storage (the newest number written to each block, requests that end whenever the schedule says), the guest
 * (which writes a higher number to a block when the last one was acknowledged) and a copier of dirty blocks.
 * Must hold, or `problems` says so: no number is ever replaced by a lower one; a read returns what was acknowledged
 * before it was sent, or something newer; nothing is answered twice; nothing of a closed generation begins.
 */
import { DirtyBlocks } from '../../src/storage/nbd/dirty-blocks.ts';
import { NBD_CMD_FLUSH, NBD_CMD_READ, NBD_CMD_WRITE, NbdError } from '../../src/storage/nbd/numbers.ts';
import type { NbdRequest } from '../../src/storage/nbd/request-decoder.ts';
import { RequestTable } from '../../src/storage/nbd/request-table.ts';
import { type RequestClient, TrackedRequest } from '../../src/storage/nbd/tracked-request.ts';

export type TrialStep =
  | { readonly kind: 'write' | 'read'; readonly first: number; readonly count: number }
  | { readonly kind: 'flush' | 'migrate' | 'rollBack' | 'reconnect' | 'hold' | 'release' | 'collect' | 'copy' }
  /** Of the requests that are with the storage. */
  | { readonly kind: 'complete'; readonly which: number };

export const TRIAL_BLOCKS = 6;
const BLOCK_BYTES = 4096;
/** The copier sees two blocks as one. */
const DIRTY_BYTES = 2 * BLOCK_BYTES;

/** What the guest waits for: it is sent again until it succeeds. */
interface Wish {
  readonly command: number;
  readonly first: number;
  readonly count: number;
  readonly values: readonly number[];
}

interface Running {
  readonly tracked: TrackedRequest;
  readonly wish: Wish;
}

export class DiskTrial {
  readonly problems: string[] = [];
  readonly stored: number[] = Array(TRIAL_BLOCKS).fill(0);
  readonly copied: number[] = Array(TRIAL_BLOCKS).fill(0);
  readonly table: RequestTable;
  readonly #dirty = new DirtyBlocks(TRIAL_BLOCKS * BLOCK_BYTES, DIRTY_BYTES);
  readonly #acknowledged: number[] = Array(TRIAL_BLOCKS).fill(0);
  readonly #wishes = new Set<Wish>();
  readonly #running: Running[] = [];
  readonly #wishOf = new Map<TrackedRequest, Wish>();
  /** Blocks that were collected and not copied yet. */
  readonly #toCopy = new Set<number>();
  #generation = 1;
  #client: RequestClient;
  #clientId = 0;
  #number = 0;

  constructor(isFenced: boolean, maxRunning = 4) {
    this.table = new RequestTable({
      maxRunning,
      isFenced,
      begin: (tracked) => this.#begin(tracked),
      willChange: (offset, bytes) => this.#dirty.mark(offset, bytes),
    });
    this.#client = this.#connect();
  }

  take(step: TrialStep): void {
    switch (step.kind) {
      case 'write':
        this.#wish(NBD_CMD_WRITE, step.first, step.count);
        return;
      case 'read':
        this.#wish(NBD_CMD_READ, step.first, step.count);
        return;
      case 'flush':
        this.#wish(NBD_CMD_FLUSH, 0, 0);
        return;
      case 'complete':
        if (this.#running.length > 0) this.#complete(step.which % this.#running.length);
        return;
      case 'migrate':
        this.table.cancel(this.#generation);
        this.#qemuFlushes();
        this.#generation++;
        // Nobody waits for it here: the table has to see to that.
        void this.table.fence(this.#generation);
        this.#client = this.#connect();
        this.#sendAgain();
        return;
      case 'rollBack':
        this.table.cancel(this.#generation);
        this.#qemuFlushes();
        this.table.reopen(this.#generation);
        this.#sendAgain();
        return;
      case 'reconnect':
        this.table.forget(this.#client.id);
        this.#client = this.#connect();
        this.#sendAgain();
        return;
      case 'hold':
        this.table.hold(({ command }) => command === NBD_CMD_WRITE);
        return;
      case 'release':
        this.table.hold(undefined);
        return;
      case 'collect':
        for (const { offset, bytes } of this.#dirty.collect(this.table.runningChanges()).ranges) {
          for (let at = offset; at < offset + bytes; at += BLOCK_BYTES) this.#toCopy.add(at / BLOCK_BYTES);
        }
        return;
      case 'copy':
        for (const block of this.#toCopy) this.copied[block] = this.stored[block]!;
        this.#toCopy.clear();
    }
  }

  /** Nothing is held, everything ends, and the copier looks once more. */
  finish(): void {
    this.take({ kind: 'release' });
    while (this.#running.length > 0) this.#complete(0);
    if (this.table.waitingCount > 0) this.problems.push(`${this.table.waitingCount} requests wait for ever`);
    if (this.#wishes.size > 0) this.problems.push(`${this.#wishes.size} requests of the guest have no answer`);
    this.take({ kind: 'collect' });
    this.take({ kind: 'copy' });
    if (this.copied.join() !== this.stored.join()) this.problems.push(`copied ${this.copied}, stored ${this.stored}`);
  }

  #connect(): RequestClient {
    const id = ++this.#clientId;
    const answered = new Set<TrackedRequest>();
    return {
      id,
      takesHoles: false,
      answer: (tracked, error) => {
        if (answered.has(tracked)) this.problems.push('answered twice');
        answered.add(tracked);
        this.#take(tracked, error, id);
      },
    };
  }

  #wish(command: number, first: number, wanted: number): void {
    const count = Math.min(wanted, TRIAL_BLOCKS - first);
    // What is sent while another write to the same block is under way has no order: guests do not do that.
    const isBusy = [...this.#wishes].some((other) => other.first < first + count && first < other.first + other.count);
    if (isBusy && command === NBD_CMD_WRITE) return;
    const values = Array.from({ length: count }, (_, index) =>
      command === NBD_CMD_WRITE ? ++this.#number : this.#acknowledged[first + index]!,
    );
    const wish = { command, first, count, values };
    this.#wishes.add(wish);
    this.#send(wish);
  }

  #send(wish: Wish): void {
    const { command, first, count } = wish;
    const range = { offset: first * BLOCK_BYTES, bytes: count * BLOCK_BYTES };
    const request: NbdRequest = { command, flags: 0, cookieHigh: 0, cookieLow: 0, ...range, data: undefined };
    const tracked = new TrackedRequest(this.#client, this.#generation, request, 0);
    this.#wishOf.set(tracked, wish);
    this.table.submit(tracked);
  }

  #sendAgain(): void {
    for (const wish of [...this.#wishes]) this.#send(wish);
  }

  /** While it stops. */
  #qemuFlushes(): void {
    const request = {
      command: NBD_CMD_FLUSH,
      flags: 0,
      cookieHigh: 0,
      cookieLow: 0,
      offset: 0,
      bytes: 0,
      data: undefined,
    };
    let error: NbdError | undefined;
    const client = {
      id: this.#client.id,
      takesHoles: false,
      answer: (_: unknown, told: NbdError): void => {
        error = told;
      },
    };
    this.table.submit(new TrackedRequest(client, this.#generation, request, 0));
    if (error !== NbdError.none) this.problems.push(`QEMU's own flush after a cancel was answered with ${error}`);
  }

  #begin(tracked: TrackedRequest): void {
    const wish = this.#wishOf.get(tracked)!;
    if (tracked.generation < this.table.generation) this.problems.push('an old generation begins');
    this.#running.push({ tracked, wish });
  }

  #complete(index: number): void {
    const [{ tracked, wish }] = this.#running.splice(index, 1) as [Running];
    for (let at = 0; at < wish.count; at++) {
      const block = wish.first + at;
      if (wish.command === NBD_CMD_WRITE) {
        if (this.stored[block]! > wish.values[at]!) {
          this.problems.push(`block ${block}: ${wish.values[at]} over ${this.stored[block]}`);
        }
        this.stored[block] = wish.values[at]!;
      } else if (wish.command === NBD_CMD_READ && !tracked.isAnswered && this.stored[block]! < wish.values[at]!) {
        this.problems.push(`block ${block} reads as ${this.stored[block]}, ${wish.values[at]} was acknowledged`);
      }
    }
    this.table.finish(tracked, NbdError.none);
  }

  #take(tracked: TrackedRequest, error: NbdError, client: number): void {
    const wish = this.#wishOf.get(tracked)!;
    if (error !== NbdError.none || client !== this.#client.id || !this.#wishes.has(wish)) return;
    this.#wishes.delete(wish);
    if (wish.command !== NBD_CMD_WRITE) return;
    for (let at = 0; at < wish.count; at++) this.#acknowledged[wish.first + at] = wish.values[at]!;
  }
}

/** Any request, for tests of one rule. */
export function requestOf(
  command: number,
  offset = 0,
  bytes = command === NBD_CMD_FLUSH ? 0 : BLOCK_BYTES,
): NbdRequest {
  const data = command === NBD_CMD_WRITE ? new Uint8Array(bytes) : undefined;
  return { command, flags: 0, cookieHigh: 0, cookieLow: 0, offset, bytes, data };
}
