/**
 * Every request of every client of one disk, and when it may reach the image.
 *
 * Owns: the requests, from their arrival until the storage is done with them; the generations of clients; which of both
 * may go on. Pure: the storage and the clients are told what to do, and tell what they have done.
 * Must hold: after `fence(g)` no request of a generation before g begins, and none of g or later begins before those
 * that were running have ended; once a generation is sealed it changes nothing; a write that nobody waits for any more
 * (its client has gone, or was told that it failed) ends before anything begins that overlaps it, or it could overwrite
 * what is newer.
 *
 *   waiting ──▶ running ──▶ (gone)          a request is answered once; a cancelled one is answered while it still runs
 *      └─ discarded, cancelled ──▶ (gone)
 */

import { NBD_CMD_FLUSH, NbdError } from './numbers.ts';
import { OutstandingWaits } from './outstanding-waits.ts';
import { changesImage, isCancellable, overlaps } from './request-check.ts';
import type { NbdRequest } from './request-decoder.ts';
import type { TrackedRequest } from './tracked-request.ts';

export interface TableOptions {
  /** So many at once are with the storage; those behind them can still be taken back. */
  readonly maxRunning: number;
  /** Begins it; `finish` tells its end, which may be before `begin` returns. */
  begin(request: TrackedRequest): void;
  /** Before a request begins that changes the image. */
  willChange(offset: number, bytes: number): void;
  /** False in tests only, to see what the fence is for: nothing waits for what came before it. */
  readonly isFenced?: boolean;
}

export interface Cancelled {
  /** Requests that were answered with an error. */
  readonly answered: number;
  /** TRIM and WRITE_ZEROES that are completed instead. */
  readonly kept: number;
  /** Resolves when nothing of the generation is left that its client has no answer to (TRIM and WRITE_ZEROES). */
  readonly settled: Promise<void>;
}

/** Whether a request has to wait for as long as the policy says so. */
export type HoldPolicy = (request: NbdRequest) => boolean;

export class RequestTable {
  readonly #options: TableOptions;
  readonly #isFenced: boolean;
  /** In the order of their arrival. */
  readonly #waiting = new Set<TrackedRequest>();
  readonly #running = new Set<TrackedRequest>();
  /** Running changes of which no client expects anything. */
  readonly #orphans = new Set<TrackedRequest>();
  readonly #cancelled = new Set<number>();
  readonly #sealed = new Set<number>();
  #generation: number;
  #hold: HoldPolicy | undefined;
  /** Of generations before the current one. */
  #oldRunning = 0;
  #isPumping = false;
  readonly #waits = new OutstandingWaits();

  /** @param generation - of the clients that may change the image at first */
  constructor(options: TableOptions, generation = 1) {
    this.#options = options;
    this.#isFenced = options.isFenced ?? true;
    this.#generation = generation;
  }

  get generation(): number {
    return this.#generation;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /** All that there is, oldest first within each state. */
  *requests(): Generator<TrackedRequest> {
    yield* this.#running;
    yield* this.#waiting;
  }

  /** The ranges that are being changed at this moment. */
  *runningChanges(): Generator<NbdRequest> {
    for (const { request } of this.#running) if (changesImage(request.command)) yield request;
  }

  submit(tracked: TrackedRequest): void {
    if (this.#isClosed(tracked)) {
      tracked.answer(NbdError.ESHUTDOWN);
    } else if (this.#cancelled.has(tracked.generation) && isCancellable(tracked.request.command)) {
      // What QEMU flushes while it stops are its own buffers, and the guest's flush is asked for again.
      tracked.answer(tracked.request.command === NBD_CMD_FLUSH ? NbdError.none : NbdError.EIO);
    } else if (this.#mayBegin(tracked)) {
      this.#begin(tracked);
    } else {
      this.#waiting.add(tracked);
    }
  }

  /** The storage is done with it. */
  finish(tracked: TrackedRequest, error: NbdError): void {
    this.#running.delete(tracked);
    this.#orphans.delete(tracked);
    if (tracked.generation < this.#generation) this.#oldRunning--;
    tracked.answer(error);
    this.#goOn();
  }

  /** From now on requests wait for which the policy says so. Again with the same one when it says something else now. */
  hold(policy: HoldPolicy | undefined): void {
    this.#hold = policy;
    this.#goOn();
  }

  /**
   * Answers all reads, writes and flushes of a generation with EIO, waiting and running ones, and those that come until
   * `reopen` (flushes then with success). TRIM and WRITE_ZEROES are completed, whatever holds them: QEMU crashes where
   * a SCSI one is submitted again.
   */
  cancel(generation: number): Cancelled {
    this.#cancelled.add(generation);
    let answered = 0;
    let kept = 0;
    for (const tracked of [...this.requests()]) {
      if (tracked.generation !== generation || tracked.isAnswered) continue;
      if (isCancellable(tracked.request.command)) {
        if (!this.#waiting.delete(tracked)) this.#disown(tracked);
        tracked.answer(NbdError.EIO);
        answered++;
      } else if (changesImage(tracked.request.command)) kept++;
    }
    this.#goOn();
    return { answered, kept, settled: this.#settled(generation) };
  }

  /**
   * After `cancel`, before another server may let clients change the image: resolves when nothing of the generation
   * changes it any more. What would (none should come) waits until `reopen`, which also ends the waiting here.
   */
  async seal(generation: number): Promise<void> {
    await this.#settled(generation);
    if (!this.#cancelled.has(generation)) return;
    this.#sealed.add(generation);
    if (!this.#isFenced) return;
    const isOurs = ({ generation: of, request }: TrackedRequest) => of === generation && changesImage(request.command);
    await this.#waits.until(() => !this.#sealed.has(generation) || !this.#running.values().some(isOurs));
  }

  /** The clients of a generation that was cancelled, or sealed, go on: the VM stays where it is. */
  reopen(generation: number): void {
    this.#cancelled.delete(generation);
    this.#sealed.delete(generation);
    this.#goOn();
  }

  /**
   * Only clients of this generation or later count from now on. Resolves when no request of an older one is with the
   * storage; until then nothing else begins.
   */
  fence(generation: number): Promise<void> {
    if (generation > this.#generation) {
      this.#generation = generation;
      for (const tracked of this.#waiting) {
        if (!this.#isClosed(tracked)) continue;
        this.#waiting.delete(tracked);
        tracked.answer(NbdError.ESHUTDOWN);
      }
      for (const old of this.#cancelled) if (old < generation) this.#cancelled.delete(old);
      this.#oldRunning = 0;
      for (const tracked of this.#running) if (tracked.generation < generation) this.#oldRunning++;
      this.#goOn();
    }
    return this.#waits.until(() => this.#oldRunning === 0);
  }

  /** Nobody is there any more to be answered. */
  forget(clientId: number): void {
    for (const tracked of this.#waiting) {
      if (tracked.client.id !== clientId) continue;
      this.#waiting.delete(tracked);
      tracked.discard();
    }
    for (const tracked of this.#running) {
      if (tracked.client.id !== clientId) continue;
      this.#disown(tracked);
      tracked.discard();
    }
    this.#waits.look();
  }

  /** Resolves when nothing is waiting or running. */
  idle(): Promise<void> {
    return this.#waits.until(() => this.#running.size === 0 && this.#waiting.size === 0);
  }

  /** Every request of the generation that there is has its answer, or the generation was opened again. */
  #settled(generation: number): Promise<void> {
    const isOpen = (each: TrackedRequest): boolean => each.generation === generation && !each.isAnswered;
    return this.#waits.until(() => !this.#cancelled.has(generation) || !this.requests().some(isOpen));
  }

  #isClosed({ generation }: TrackedRequest): boolean {
    return this.#isFenced && generation < this.#generation;
  }

  #begin(tracked: TrackedRequest): void {
    tracked.state = 'running';
    this.#running.add(tracked);
    if (tracked.generation < this.#generation) this.#oldRunning++;
    const { command, offset, bytes } = tracked.request;
    if (changesImage(command)) this.#options.willChange(offset, bytes);
    this.#options.begin(tracked);
  }

  #mayBegin(tracked: TrackedRequest): boolean {
    if (this.#running.size >= this.#options.maxRunning) return false;
    const { request, generation } = tracked;
    if (this.#isFenced) {
      // Whoever is about to get the image may look at it before: QEMU reads a disk's beginning when it opens it.
      if (generation > this.#generation && changesImage(request.command)) return false;
      if (this.#sealed.has(generation) && changesImage(request.command)) return false;
      if (this.#oldRunning > 0 && generation >= this.#generation) return false;
      if (this.#orphans.size > 0 && this.#orphans.values().some((orphan) => overlaps(orphan.request, request)))
        return false;
    }
    return this.#hold === undefined || this.#cancelled.has(generation) || !this.#hold(request);
  }

  #disown(tracked: TrackedRequest): void {
    if (changesImage(tracked.request.command)) this.#orphans.add(tracked);
  }

  #goOn(): void {
    // What begins may end at once, and call this again.
    if (this.#isPumping) return;
    this.#isPumping = true;
    for (const tracked of this.#waiting) {
      if (this.#running.size >= this.#options.maxRunning) break;
      if (!this.#mayBegin(tracked)) continue;
      this.#waiting.delete(tracked);
      this.#begin(tracked);
    }
    this.#isPumping = false;
    this.#waits.look();
  }
}
