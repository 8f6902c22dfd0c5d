/**
 * The thread that looks at how VMs write, seen from the daemon.
 *
 * Owns: the windows that are open, and the descriptors that the thread has entrusted to this one. Must hold: a VM whose window
 * was ended is not tracked any more when `end` resolves; nor is one whose thread died, however it did.
 */
import type { Worker } from 'node:worker_threads';
import { FileDescriptor } from '../linux/file-descriptor.ts';
import type { ProcessIdentity } from '../linux/process.ts';
import { startThread } from './child-threads.ts';
import type { WrittenAfter } from './dirty-window.ts';
import type { KnownRegion } from './known-ram.ts';

/** A VM to look at. */
export interface SampledVm {
  readonly qemu: ProcessIdentity;
  readonly regions: readonly KnownRegion[];
}

/** To the thread: begin or end a window, or end altogether. */
export type SamplerOrder =
  | { readonly kind: 'begin'; readonly window: number; readonly vm: SampledVm }
  | { readonly kind: 'end'; readonly window: number }
  | { readonly kind: 'stop' };

/** From the thread. */
export type SamplerReport =
  | { readonly kind: 'ended'; readonly window: number; readonly outcome: WindowOutcome }
  /** Closing this descriptor of the process ends the tracking of a VM. */
  | { readonly kind: 'entrusted' | 'givenBack'; readonly fd: number };

/** `isHopeless`: the kernel cannot do it, for no VM. */
export type WindowOutcome =
  | { readonly points: readonly WrittenAfter[] }
  | { readonly failure: string; readonly isHopeless: boolean };

export interface OpenWindow {
  readonly ended: Promise<WindowOutcome>;
  /** Ends it early; resolves when the VM is not tracked any more. */
  end(): Promise<void>;
}

export class DirtySampler implements Disposable {
  readonly #thread: Worker;
  readonly #windows = new Map<number, (outcome: WindowOutcome) => void>();
  readonly #entrusted = new Set<number>();
  #count = 0;
  /** Why there are no more windows. */
  #failure: string | null = null;

  constructor(module = 'dirty-sampler-worker') {
    this.#thread = startThread({
      module,
      input: null,
      stop: () => this[Symbol.dispose](),
    });
    this.#thread.unref();
    this.#thread.on('message', (report: SamplerReport) => this.#take(report));
    const fail = (reason: string): void => {
      this.#failure ??= reason;
      for (const window of this.#windows.keys()) this.#settle(window, { failure: this.#failure, isHopeless: true });
    };
    // Its exit comes after.
    this.#thread.on('error', (error) => {
      this.#failure = error.message;
    });
    this.#thread.on('exit', () => {
      // A thread whose memory is used up closes nothing.
      for (const fd of this.#entrusted) new FileDescriptor(fd)[Symbol.dispose]();
      this.#entrusted.clear();
      fail('its thread has ended');
    });
  }

  begin(vm: SampledVm): OpenWindow {
    const window = this.#count++;
    const { promise, resolve } = Promise.withResolvers<WindowOutcome>();
    if (this.#failure === null) {
      this.#windows.set(window, resolve);
      this.#tell({ kind: 'begin', window, vm });
    } else {
      resolve({ failure: this.#failure, isHopeless: true });
    }
    return {
      ended: promise,
      end: async () => {
        if (this.#windows.has(window)) this.#tell({ kind: 'end', window });
        await promise;
      },
    };
  }

  [Symbol.dispose](): void {
    this.#tell({ kind: 'stop' });
  }

  #tell(order: SamplerOrder): void {
    this.#thread.postMessage(order);
  }

  #take(report: SamplerReport): void {
    if (report.kind === 'entrusted') this.#entrusted.add(report.fd);
    else if (report.kind === 'ended') this.#settle(report.window, report.outcome);
    else this.#entrusted.delete(report.fd);
  }

  #settle(window: number, outcome: WindowOutcome): void {
    this.#windows.get(window)?.(outcome);
    this.#windows.delete(window);
  }
}
