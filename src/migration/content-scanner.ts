/**
 * Keeps known what is in the memory of the VMs of this host, so that VMs of the same fleet that come here need not bring it
 * (B2).
 *
 * Owns: a thread that looks through one VM after the other. Must hold: it gives way to everything else on this host, and
 * takes little of a CPU over time.
 */
import type { Worker } from 'node:worker_threads';
import { startThread } from './child-threads.ts';
import type { LiveVm } from './live-contents.ts';

/** What the thread is started with. */
export interface ScannerInput {
  readonly directory: string;
  /** Hexadecimal. */
  readonly key: string;
  /** [0] turns to 1 when the thread is to end. */
  readonly stop: Int32Array;
}

/** To the thread: the VMs of now. From it: done. */
export interface ScannerOrder {
  readonly vms: readonly (LiveVm & { /** A migration has it. */ readonly isMoving: boolean })[];
}

export type ScannerReport = { readonly kind: 'done' } | { readonly kind: 'failed'; readonly reason: string };

/** A VM that has appeared is looked through at the second of these moments: it has settled by then. */
const LOOK_EVERY_MS = 3000;

export class ContentScanner implements Disposable {
  readonly #worker: Worker;
  readonly #timer: NodeJS.Timeout;
  readonly #stop = new Int32Array(new SharedArrayBuffer(4));
  #isBusy = false;

  /** @param warn - told of what cannot be looked through; nothing depends on it */
  constructor(input: Omit<ScannerInput, 'stop'>, vms: () => ScannerOrder['vms'], warn: (reason: string) => void) {
    this.#worker = startThread({
      module: 'content-scanner-worker',
      input: { ...input, stop: this.#stop },
      stop: () => this[Symbol.dispose](),
    });
    this.#worker.unref();
    this.#worker.on('message', (report: ScannerReport) => {
      this.#isBusy = false;
      if (report.kind === 'failed') warn(report.reason);
    });
    this.#worker.on('error', (error) => {
      clearInterval(this.#timer);
      warn(error.message);
    });
    this.#timer = setInterval(() => {
      if (this.#isBusy) return;
      this.#isBusy = true;
      this.#worker.postMessage({ vms: vms() } satisfies ScannerOrder);
    }, LOOK_EVERY_MS);
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    Atomics.store(this.#stop, 0, 1);
    this.#worker.postMessage('stop');
  }
}
