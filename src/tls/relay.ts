/**
 * The threads that speak TLS for a host, as its daemon sees them.
 *
 * All migrations share them: a thread for each would cost more memory than it brings, and encrypting a link's bytes takes a
 * fraction of a CPU (docs/performance.md). The daemon's own thread, which serves the API, carries nothing.
 * Owns: the threads, and the socket through which they get orders. Must hold: a thread that dies is followed by another one, which
 * takes the orders that have come meanwhile; what it carried is cut, as by the network, and is dialled again by whoever had it. Threads begin
 * with the last certificate that could serve, whatever is in the directory by then.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { programFile } from '../base/program-file.ts';
import { closeFd } from '../linux/socket.ts';
import { openSocketPair } from '../linux/socket-pair.ts';
import type { RelayPort } from './relay-orders.ts';
import { createRelayTable, freeEntriesOf } from './relay-table.ts';
import { type RelayInput, type RelayReport, STOP } from './relay-words.ts';
import { type CertificateFacts, readTlsDirectory, type TlsMaterial } from './tls-directory.ts';

export interface TlsRelayOptions extends Pick<RelayInput, 'directory' | 'hostName' | 'names' | 'allow'> {
  /** This host shows another certificate from now on. */
  onRenewed(certificate: CertificateFacts): void;
  /** The files have changed and cannot serve: the old ones stay in use. */
  onUnusable(error: GodwitError): void;
  /** Somebody who came was sent away. */
  onRefused(peer: string, error: GodwitError): void;
  /** A thread has died. */
  onDied(error: GodwitError): void;
}

/** More CPUs than these would wait for the link. */
const MOST_THREADS = 4;
/** Before a thread follows one that has died: what killed it may do so again. */
const RESTART_MS = 1000;

export class TlsRelay implements AsyncDisposable {
  /** For the threads of migrations. */
  readonly port: RelayPort;
  readonly #options: TlsRelayOptions;
  readonly #input: Omit<RelayInput, 'material'>;
  readonly #threads = new Set<Worker>();
  #material: TlsMaterial;
  #isOver = false;

  /** @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID where the files cannot serve */
  constructor(options: TlsRelayOptions) {
    const { directory, hostName, names, allow } = options;
    this.#options = options;
    this.#material = readTlsDirectory(directory);
    const table = createRelayTable();
    const { near, far } = openSocketPair('messages');
    this.port = { ordersFd: near, table };
    this.#input = { ordersFd: far, table, directory, hostName, names, allow };
    const count = Math.min(MOST_THREADS, Math.max(1, Math.floor(availableParallelism() / 2)));
    for (let i = 0; i < count; i++) this.#start();
  }

  /** That this host shows. */
  get certificate(): CertificateFacts {
    return this.#material.facts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    await Promise.all([...this.#threads].map((thread) => end(thread)));
    closeFd(this.port.ordersFd);
    closeFd(this.#input.ordersFd);
  }

  #start(): void {
    const workerData: RelayInput = { ...this.#input, material: this.#material };
    const thread = new Worker(programFile('tls/relay-worker'), { name: 'tls-relay', workerData });
    // Node forgets it with the thread.
    const { threadId } = thread;
    this.#threads.add(thread);
    thread.unref();
    thread.on('message', (report: RelayReport) => this.#hear(report));
    thread.on('error', (error) => this.#options.onDied(asGodwitError(error)));
    thread.once('exit', () => {
      this.#threads.delete(thread);
      freeEntriesOf(threadId, this.#input.table);
      if (!this.#isOver) setTimeout(() => this.#isOver || this.#start(), RESTART_MS).unref();
    });
  }

  #hear(report: RelayReport): void {
    if (report.kind === 'refused') this.#options.onRefused(report.peer, GodwitError.fromBody(report.error));
    else if (report.kind === 'unusable') this.#options.onUnusable(GodwitError.fromBody(report.error));
    else this.#renew(report.material);
  }

  /** Every thread tells it. */
  #renew(material: TlsMaterial): void {
    const isKnown = JSON.stringify(material.facts) === JSON.stringify(this.#material.facts);
    this.#material = material;
    if (!isKnown) this.#options.onRenewed(material.facts);
  }
}

function end(thread: Worker): Promise<void> {
  return new Promise((resolve) => {
    thread.once('exit', () => resolve());
    thread.ref();
    thread.postMessage(STOP);
  });
}
