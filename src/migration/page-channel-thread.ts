/**
 * One page channel at the source, seen from the migration's thread: its thread and the connection of now.
 *
 * Owns: the thread, what is shared with it, and a duplicate of the connection's descriptor, to look at and to cut it. Must
 * hold: every job is answered, also when the thread has died.
 */
import type { Worker } from 'node:worker_threads';
import { GodwitError } from '../base/errors.ts';
import { FileDescriptor } from '../linux/file-descriptor.ts';
import { EventFd } from '../linux/poll.ts';
import { closeFd, duplicateFd, shutdownSocket } from '../linux/socket.ts';
import type { TcpBusy } from '../linux/tcp-info.ts';
import type { RelayPort } from '../tls/relay-orders.ts';
import { closedBy } from '../transfer/connection.ts';
import { LinkGauge } from '../transfer/link-gauge.ts';
import { startThread } from './child-threads.ts';
import {
  createSendingWords,
  type SendingInput,
  type SendingShared,
  SendingWords,
  type SendJob,
  type SendOrder,
  type SendReport,
  type SendResult,
} from './page-channel-words.ts';
import type { ThreadRole } from './thread-priority.ts';

/** One channel. */
export interface PageChannel {
  /** Jobs that it has. */
  readonly jobs: number;
  /**
   * Resolves when the kernel has taken the frame.
   * @param turn - for a paced job: resolves when so many bytes may go
   * @throws GW_WIRE_CLOSED …
   */
  send(job: SendJob, turn: (bytes: number) => Promise<void>): Promise<SendResult>;
}

export type ChannelChange =
  | { readonly kind: 'noted'; readonly text: string }
  /** A job is done. */
  | { readonly kind: 'done'; readonly frames: number }
  | { readonly kind: 'failed'; readonly error: GodwitError; readonly isGone: boolean };

interface Waiting {
  /** Of the connection that it was for. */
  readonly generation: number;
  readonly resolve: (result: SendResult) => void;
  readonly reject: (error: GodwitError) => void;
  readonly turn: (bytes: number) => Promise<void>;
}

/** A job that has failed and is not answered yet. */
interface Failure {
  readonly error: GodwitError;
  readonly reject: (error: GodwitError) => void;
  timer: NodeJS.Timeout | undefined;
}

/**
 * A destination that gives up closes its channels, ends its QEMU and writes that down; why, the main connection says then:
 * in milliseconds, but for a busy host. A VM that stands still, or waits for pages, is not kept waiting for long.
 */
const LAST_WORDS_MS = { copying: 3000, urgent: 500, ordinary: 500 } as const satisfies Record<ThreadRole, number>;

export class ChannelThread implements PageChannel {
  readonly #worker: Worker;
  readonly #interrupt = EventFd.create();
  readonly #words: Int32Array;
  readonly #sentBytes: BigInt64Array;
  readonly #peer: string;
  readonly #tell: (change: ChannelChange) => void;
  readonly #jobs = new Map<number, Waiting>();
  readonly #failures = new Set<Failure>();
  /** A duplicate: the thread closes its own. */
  #descriptor: FileDescriptor | undefined;
  #gauge: LinkGauge | undefined;
  readonly #relay: RelayPort | null;
  /** Handed over, and not the thread's yet. */
  #handedFd: number | undefined;
  #role: ThreadRole = 'ordinary';
  #nextId = 0;
  /** Of the connection of now. */
  #generation = 0;
  #isGone = false;

  /** @param relay - behind which its connections are */
  constructor(
    shared: SendingShared & { readonly peer: string },
    relay: RelayPort | null,
    tell: (change: ChannelChange) => void,
  ) {
    const { words, sentBytes } = createSendingWords();
    this.#words = new Int32Array(words);
    this.#sentBytes = new BigInt64Array(sentBytes);
    this.#peer = shared.peer;
    this.#relay = relay;
    this.#tell = tell;
    const input: SendingInput = { ...shared, words, sentBytes, interruptFd: this.#interrupt.fd };
    this.#worker = startThread({
      module: 'page-channel-worker',
      input,
      stop: () => this.stop(),
    });
    this.#worker.on('message', (report: SendReport) => this.#hear(report));
    this.#worker.on('error', (cause) => {
      this.#failAll(new GodwitError('GW_INTERNAL', { reason: 'the thread of a page channel died' }, { cause }));
    });
    this.#worker.on('exit', () => {
      this.#isGone = true;
      this.#closeHanded();
      this.#failAll(closedBy(this.#peer, 'closed here'));
      this.#interrupt[Symbol.dispose]();
    });
    this.#worker.unref();
  }

  get jobs(): number {
    return this.#jobs.size + this.#failures.size;
  }

  get bytesSent(): number {
    return Number(Atomics.load(this.#sentBytes, 0));
  }

  get unacknowledgedBytes(): number {
    return this.#gauge?.unacknowledgedBytes ?? 0;
  }

  /** undefined without a connection, or where the kernel does not count it. */
  get busy(): TcpBusy | undefined {
    return this.#gauge?.busy;
  }

  order(order: SendOrder): void {
    if (order.kind === 'priority') this.#role = order.priority;
    this.#worker.postMessage(order);
  }

  link(fd: number): void {
    this.#generation++;
    this.#descriptor = new FileDescriptor(duplicateFd(fd));
    this.#gauge = new LinkGauge(this.#descriptor.fd, this.#relay);
    this.#handedFd = fd;
    if (this.#isGone) this.#closeHanded();
    else this.order({ kind: 'link', fd });
  }

  cut(): void {
    if (!this.#descriptor) return;
    Atomics.store(this.#words, SendingWords.isCut, 1);
    this.#openGate();
    shutdownSocket(this.#descriptor.fd);
    this.#interrupt.signal();
    this.#descriptor[Symbol.dispose]();
    this.#descriptor = undefined;
    this.#gauge = undefined;
    this.#answerFailures();
  }

  stop(): void {
    this.cut();
    this.order({ kind: 'stop' });
  }

  send(job: SendJob, turn: (bytes: number) => Promise<void>): Promise<SendResult> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#jobs.set(id, { generation: this.#generation, resolve, reject, turn });
      this.order({ kind: 'send', id, job });
    });
  }

  #closeHanded(): void {
    if (this.#handedFd !== undefined) closeFd(this.#handedFd);
    this.#handedFd = undefined;
  }

  #hear(report: SendReport): void {
    if (report.kind === 'linked') {
      this.#handedFd = undefined;
      return;
    }
    if (report.kind === 'noted') {
      this.#tell(report);
      return;
    }
    const waiting = this.#jobs.get(report.id);
    if (!waiting) return;
    if (report.kind === 'packed') {
      const open = () => this.#openGate();
      waiting.turn(report.bytes).then(open, open);
      return;
    }
    this.#jobs.delete(report.id);
    if (report.kind === 'sent') {
      waiting.resolve(report.result);
      this.#tell({ kind: 'done', frames: report.result.frames });
      return;
    }
    const error = GodwitError.fromBody(report.error);
    const failure: Failure = { error, reject: waiting.reject, timer: undefined };
    // What was for a connection that was cut says nothing of the one that came after it.
    const isOfNow = this.#descriptor !== undefined && waiting.generation === this.#generation;
    if (!isOfNow) {
      this.#giveUp(failure);
      return;
    }
    this.#failures.add(failure);
    failure.timer = setTimeout(() => {
      this.#failures.delete(failure);
      failure.reject(error);
      this.#tell({ kind: 'failed', error, isGone: false });
    }, LAST_WORDS_MS[this.#role]);
  }

  #answerFailures(): void {
    const failures = [...this.#failures];
    this.#failures.clear();
    for (const failure of failures) this.#giveUp(failure);
  }

  #giveUp({ error, reject, timer }: Failure): void {
    clearTimeout(timer);
    reject(error);
    this.#tell({ kind: 'done', frames: 0 });
  }

  #failAll(error: GodwitError): void {
    this.#answerFailures();
    for (const { reject } of this.#jobs.values()) reject(error);
    this.#jobs.clear();
    this.#tell({ kind: 'failed', error, isGone: true });
  }

  #openGate(): void {
    Atomics.add(this.#words, SendingWords.gate, 1);
    Atomics.notify(this.#words, SendingWords.gate);
  }
}
