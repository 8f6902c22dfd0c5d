/**
 * A block server in a thread of its own, so that nothing that it does holds up whoever started it.
 *
 * Owns: the thread, and the calls that it has not answered. Must hold: a call is answered, or rejected when the thread
 * ends; `ended` resolves however it ends.
 */
import type { SecureContextOptions } from 'node:tls';
import { Worker } from 'node:worker_threads';
import { type ErrorBody, explain, GodwitError } from '../../base/errors.ts';
import type { CommandName } from './client-counters.ts';
import type { DiskOptions, DiskServing } from './disk-serving.ts';
import type { ClientView, ListenAddress, RequestView, ServerEvent } from './nbd-server.ts';
import type { CollectedBlocks } from './served-disk.ts';

export interface DiskThreadData {
  readonly tls: SecureContextOptions | undefined;
}

export interface DiskCall {
  readonly sequence: number;
  readonly method: keyof DiskServing;
  readonly words: readonly unknown[];
}

export type DiskThreadReport =
  | { readonly kind: 'event'; readonly event: ServerEvent }
  | { readonly kind: 'answered'; readonly sequence: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly sequence: number; readonly error: ErrorBody };

interface Waiting {
  resolve(value: unknown): void;
  reject(error: GodwitError): void;
}

export class DiskServerThread implements DiskServing, AsyncDisposable {
  /** Why it ended; undefined when it was closed. */
  readonly ended: Promise<string | undefined>;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #sequence = 0;
  #end: string | undefined;
  #isClosed = false;

  constructor(tls: SecureContextOptions | undefined, onEvent: (event: ServerEvent) => void) {
    const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const data: DiskThreadData = { tls };
    this.#worker = new Worker(new URL(`./disk-server-worker.${ending}`, import.meta.url), { workerData: data });
    this.#worker.on('message', (report: DiskThreadReport) => {
      if (report.kind === 'event') onEvent(report.event);
      else this.#settle(report);
    });
    this.#worker.on('error', (error) => {
      this.#end = explain(error);
    });
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.ended = promise;
    this.#worker.on('exit', () => {
      if (!this.#isClosed) this.#end ??= 'its thread has ended';
      for (const waiting of this.#waiting.values()) waiting.reject(gone(this.#end));
      this.#waiting.clear();
      resolve(this.#end);
    });
  }

  listen(address: ListenAddress): Promise<ListenAddress> {
    return this.#call('listen', address);
  }

  openDisk(disk: string, options: DiskOptions): Promise<number> {
    return this.#call('openDisk', disk, options);
  }

  closeDisk(disk: string): Promise<void> {
    return this.#call('closeDisk', disk);
  }

  addExport(name: string, disk: string, generation: number): Promise<void> {
    return this.#call('addExport', name, disk, generation);
  }

  removeExport(name: string): Promise<void> {
    return this.#call('removeExport', name);
  }

  cancel(disk: string, generation: number): Promise<number> {
    return this.#call('cancel', disk, generation);
  }

  reopen(disk: string, generation: number): Promise<void> {
    return this.#call('reopen', disk, generation);
  }

  fence(disk: string, generation: number): Promise<void> {
    return this.#call('fence', disk, generation);
  }

  hold(disk: string, commands: readonly CommandName[]): Promise<void> {
    return this.#call('hold', disk, commands);
  }

  trackWrites(disk: string, blockBytes?: number): Promise<void> {
    return this.#call('trackWrites', disk, blockBytes);
  }

  stopTracking(disk: string): Promise<void> {
    return this.#call('stopTracking', disk);
  }

  collectDirty(disk: string): Promise<CollectedBlocks | undefined> {
    return this.#call('collectDirty', disk);
  }

  requests(disk: string): Promise<RequestView[]> {
    return this.#call('requests', disk);
  }

  clients(): Promise<ClientView[]> {
    return this.#call('clients');
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    await this.#call('close');
    this.#isClosed = true;
    await this.#worker.terminate();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #call<Value>(method: keyof DiskServing, ...words: readonly unknown[]): Promise<Value> {
    if (this.#end !== undefined || this.#isClosed) return Promise.reject(gone(this.#end));
    const sequence = ++this.#sequence;
    const { promise, resolve, reject } = Promise.withResolvers<Value>();
    this.#waiting.set(sequence, { resolve: (value) => resolve(value as Value), reject });
    const call: DiskCall = { sequence, method, words };
    this.#worker.postMessage(call);
    return promise;
  }

  #settle(report: Exclude<DiskThreadReport, { kind: 'event' }>): void {
    const waiting = this.#waiting.get(report.sequence);
    this.#waiting.delete(report.sequence);
    if (report.kind === 'answered') waiting?.resolve(report.value);
    else waiting?.reject(GodwitError.fromBody(report.error));
  }
}

function gone(reason = 'it was closed'): GodwitError {
  return new GodwitError('GW_CONFLICT', { kind: 'Block server', name: 'of this host', reason });
}
