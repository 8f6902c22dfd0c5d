/**
 * A migration's worker thread, seen from the daemon's main thread.
 *
 * Owns: the thread, the messages across it, and the descriptors that it has entrusted to this one. Must hold: `vmSettled`
 * and `ended` resolve whatever happens to the thread; a thread that dies without a word is reported as a failed migration,
 * and what became of the VM is then found in the journal by `afterCrash`, or nobody knows.
 */
import type { Worker } from 'node:worker_threads';
import { asGodwitError, type ErrorBody, explain, GodwitError } from '../base/errors.ts';
import type { ProcessIdentity } from '../linux/process.ts';
import { closeFd } from '../linux/socket.ts';
import type { JoinPurpose } from '../wire/messages.ts';
import type { MigrationHandle, VmSettlement } from './handle.ts';
import type { MigrationCommand, MigrationEvent } from './progress.ts';
import type { MigrationReport } from './report.ts';
import type { MigrationOptions } from './request.ts';
import { AFTER_MIGRATION_MS, keepSpareThread, takeThread } from './spare-threads.ts';

/** From the worker to the main thread. */
export type WorkerReport =
  | { readonly kind: 'event'; readonly event: MigrationEvent }
  | { readonly kind: 'settled'; readonly settlement: VmSettlement }
  | { readonly kind: 'answered'; readonly sequence: number; readonly error: ErrorBody | null }
  /** A descriptor that must not stay open when the thread has died: a VM may be waiting for what only it would do. */
  | { readonly kind: 'entrusted'; readonly fd: number }
  | { readonly kind: 'givenBack'; readonly fd: number }
  /** A connection that was handed over is the thread's, and is closed with it from now on. */
  | { readonly kind: 'taken'; readonly sequence: number };

/** From the main thread to the worker. */
export type WorkerOrder =
  | { readonly kind: 'command'; readonly sequence: number; readonly command: MigrationCommand }
  | {
      readonly kind: 'connection';
      readonly sequence: number;
      readonly purpose: JoinPurpose;
      readonly fd: number;
      readonly peer: string;
    };

export interface WorkerHandleOptions {
  readonly id: string;
  readonly vm: string;
  readonly uuid: string;
  readonly epoch: number;
  readonly direction: 'outgoing' | 'incoming';
  readonly peer: string;
  readonly options: MigrationOptions;
  readonly ramBytes: number;
  readonly hasVm: boolean;
  readonly qemu: ProcessIdentity | null;
  /** A thread before this one has told where the VM is: `vmSettled` stays open. */
  readonly isSettled?: boolean;
  /** Basename of the worker's module in this folder, without its ending. */
  readonly module: string;
  readonly input: unknown;
  /**
   * What the journal says of the VM when the thread died without telling.
   * @param isSettled - it had told where the VM is
   */
  afterCrash(error: GodwitError, isSettled: boolean): Promise<CrashResult | { readonly successor: WorkerHandle }>;
  /** What is told when `afterCrash` fails: the journal cannot be read. */
  reportUndecided(error: GodwitError): MigrationReport;
}

export interface CrashResult {
  readonly settlement: VmSettlement;
  readonly report: MigrationReport;
}

export class WorkerHandle implements MigrationHandle {
  readonly id: string;
  readonly vm: string;
  readonly uuid: string;
  readonly epoch: number;
  readonly direction: 'outgoing' | 'incoming';
  readonly peer: string;
  readonly options: MigrationOptions;
  readonly ramBytes: number;
  readonly hasVm: boolean;
  readonly qemu: ProcessIdentity | null;
  readonly vmSettled: Promise<VmSettlement>;
  readonly ended: Promise<MigrationReport>;
  /** See `MigrationHandle`; also the thread that has followed one that died. */
  readonly exited: Promise<void>;
  readonly #worker: Worker;
  readonly #listeners = new Set<(event: MigrationEvent) => void>();
  readonly #answers = new Map<number, { resolve: () => void; reject: (error: GodwitError) => void }>();
  readonly #entrusted = new Set<number>();
  /** Descriptors that were handed over and not taken yet, by the numbers of the orders: those of descriptors are used again. */
  readonly #handedOver = new Map<number, number>();
  #sequence = 0;
  #settle!: (settlement: VmSettlement) => void;
  #isSettled = false;
  #isGone = false;
  /** Goes on where the thread of this one has died. */
  #successor: WorkerHandle | undefined;
  #end!: (report: MigrationReport) => void;
  #report: MigrationReport | undefined;

  constructor(options: WorkerHandleOptions) {
    this.id = options.id;
    this.vm = options.vm;
    this.uuid = options.uuid;
    this.epoch = options.epoch;
    this.direction = options.direction;
    this.peer = options.peer;
    this.options = options.options;
    this.ramBytes = options.ramBytes;
    this.hasVm = options.hasVm;
    this.qemu = options.qemu;
    this.#isSettled = options.isSettled ?? false;
    this.vmSettled = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#worker = takeThread(options.module);
    this.#worker.postMessage(options.input);
    const exited = Promise.withResolvers<void>();
    this.exited = exited.promise;
    let thrown: unknown;
    this.#worker.on('message', (report: WorkerReport) => this.#handle(report));
    this.#worker.on('error', (error) => {
      thrown = error;
    });
    this.#worker.on('exit', () => {
      this.#isGone = true;
      for (const waiting of this.#answers.values()) waiting.reject(this.#threadDied());
      this.#answers.clear();
      for (const fd of [...this.#entrusted, ...this.#handedOver.values()]) closeFd(fd);
      keepSpareThread(options.module, AFTER_MIGRATION_MS);
      void this.#finish(thrown, options).finally(exited.resolve);
    });
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  onEvent(listener: (event: MigrationEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  command(command: MigrationCommand): Promise<void> {
    if (this.#report) {
      return Promise.reject(
        new GodwitError('GW_CONFLICT', { kind: 'Migration', name: this.id, reason: 'it has ended' }),
      );
    }
    if (this.#successor) return this.#successor.command(command);
    if (this.#isGone) return Promise.reject(this.#threadDied());
    const sequence = ++this.#sequence;
    return new Promise((resolve, reject) => {
      this.#answers.set(sequence, { resolve, reject });
      this.#order({ kind: 'command', sequence, command });
    });
  }

  /** Hands a descriptor over. One that the thread dies without having taken is closed, so that who has dialled dials again. */
  addConnection(purpose: JoinPurpose, fd: number, peer: string): void {
    if (this.#isGone) {
      closeFd(fd);
      return;
    }
    const sequence = ++this.#sequence;
    this.#handedOver.set(sequence, fd);
    this.#order({ kind: 'connection', sequence, purpose, fd, peer });
  }

  #order(order: WorkerOrder): void {
    this.#worker.postMessage(order);
  }

  #handle(report: WorkerReport): void {
    if (report.kind === 'event') {
      if (report.event.kind === 'ended') this.#conclude(report.event.report);
      else this.#emit(report.event);
    } else if (report.kind === 'entrusted') {
      this.#entrusted.add(report.fd);
    } else if (report.kind === 'givenBack') {
      this.#entrusted.delete(report.fd);
    } else if (report.kind === 'taken') {
      this.#handedOver.delete(report.sequence);
    } else if (report.kind === 'settled') {
      this.#isSettled = true;
      this.#settle(report.settlement);
    } else {
      const waiting = this.#answers.get(report.sequence);
      this.#answers.delete(report.sequence);
      if (report.error) waiting?.reject(GodwitError.fromBody(report.error));
      else waiting?.resolve();
    }
  }

  /** The thread has ended; normally it has told everything before. */
  async #finish(thrown: unknown, options: WorkerHandleOptions): Promise<void> {
    if (!this.#report || !this.#isSettled) {
      const error = asGodwitError(thrown ?? new Error('the migration thread ended without a report'));
      this.#emit({ kind: 'noted', level: 'warn', text: `The migration's thread died: ${explain(error)}` });
      const found = await options
        .afterCrash(error, this.#isSettled)
        .catch((failure: unknown) => undecided(options, failure));
      if ('successor' in found) return await this.#follow(found.successor);
      if (!this.#isSettled) this.#settle(found.settlement);
      this.#conclude(this.#report ?? found.report);
    }
  }

  /** What it tells is told as this one's. */
  async #follow(successor: WorkerHandle): Promise<void> {
    this.#successor = successor;
    successor.onEvent((event) => (event.kind === 'ended' ? undefined : this.#emit(event)));
    if (!this.#isSettled) this.#settle(await successor.vmSettled);
    this.#conclude(this.#report ?? (await successor.ended));
    await successor.exited;
  }

  #threadDied(): GodwitError {
    const reason = this.#report ? 'it has ended' : 'its thread has died, and another one is about to go on';
    return new GodwitError('GW_CONFLICT', { kind: 'Migration', name: this.id, reason });
  }

  /** The result is known. The thread may go on: an abort can still be owed to the other host. */
  #conclude(report: MigrationReport): void {
    if (this.#report) return;
    this.#report = report;
    this.#emit({ kind: 'ended', report });
    this.#end(report);
  }

  #emit(event: MigrationEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

function undecided({ reportUndecided }: WorkerHandleOptions, failure: unknown): CrashResult {
  const error = asGodwitError(failure);
  return { settlement: { kind: 'undecided', reason: explain(error) }, report: reportUndecided(error) };
}
