/**
 * One QMP connection: commands, answers, events.
 *
 * Owns: the socket and the commands that wait for an answer. Must hold: every command ends (answer, QEMU's error,
 * timeout, abort or close); an answer that comes after its command gave up is dropped.
 * Must never: retry a command by itself (not every command may be repeated).
 * Protocol: https://www.qemu.org/docs/master/interop/qmp-spec.html. QEMU serves one client per socket at a time: a
 * second connection stays in the listen queue and gets no greeting.
 */
import type { Socket } from 'node:net';
import type { JsonValue } from '../base/errors.ts';
import { GodwitError } from '../base/errors.ts';
import type { Lines } from '../base/lines.ts';
import type { QmpGreeting } from './qmp-connect.ts';
import { connectQmp } from './qmp-connect.ts';

export interface QmpEvent {
  readonly event: string;
  readonly data: Record<string, JsonValue>;
  /** QEMU's own time stamp, Unix milliseconds with fractions. */
  readonly timestampMs: number;
}

export interface WaitOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

interface Pending {
  readonly command: string;
  readonly resolve: (value: JsonValue) => void;
  readonly reject: (error: unknown) => void;
}

/** Longer than any command takes on a healthy QEMU; `stop` on slow storage is what comes nearest. */
const COMMAND_TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 10_000;

export class QmpClient implements Disposable {
  readonly path: string;
  readonly qemuVersion: string;
  /** Resolves with the reason when the connection has ended, whoever ended it. Never rejects. */
  readonly closed: Promise<GodwitError>;
  readonly #socket: Socket;
  readonly #lines: Lines;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #nextId = 1;
  #ended: GodwitError | undefined;

  private constructor(path: string, greeting: QmpGreeting) {
    this.path = path;
    this.qemuVersion = greeting.qemuVersion;
    this.#socket = greeting.socket;
    this.#lines = greeting.lines;
    this.#socket.on('error', (error) => this.#end(error));
    this.closed = new Promise((resolve) => this.#socket.once('close', () => resolve(this.#end(undefined))));
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket.resume();
  }

  /**
   * Connects and negotiates. A socket that is not there yet (QEMU is starting) is tried again until the timeout.
   * Throws GW_QMP_UNREACHABLE, GW_QMP_BUSY, GW_QMP_PROTOCOL.
   */
  static async connect(path: string, options: WaitOptions = {}): Promise<QmpClient> {
    const timeoutMs = options.timeoutMs ?? CONNECT_TIMEOUT_MS;
    const client = new QmpClient(path, await connectQmp(path, { ...options, timeoutMs }));
    try {
      await client.execute('qmp_capabilities', undefined, { ...options, timeoutMs });
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  get isClosed(): boolean {
    return this.#ended !== undefined;
  }

  /** Throws GW_QMP_ERROR with QEMU's own words, GW_QMP_TIMEOUT, GW_QMP_CLOSED, or the signal's reason. */
  execute<T = JsonValue>(command: string, args?: Record<string, JsonValue>, options: WaitOptions = {}): Promise<T> {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#nextId++;
    const message = args === undefined ? { execute: command, id } : { execute: command, arguments: args, id };
    const answer = new Promise<JsonValue>((resolve, reject) => this.#pending.set(id, { command, resolve, reject }));
    this.#socket.write(`${JSON.stringify(message)}\n`);
    const timeoutMs = options.timeoutMs ?? COMMAND_TIMEOUT_MS;
    return bounded(answer, command, timeoutMs, options.signal, () => this.#pending.delete(id)) as Promise<T>;
  }

  /** The listener must not throw. Returns the function that removes it. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The first event from now on that has the name, or for which the predicate holds. */
  waitForEvent(wanted: string | ((event: QmpEvent) => boolean), options: WaitOptions = {}): Promise<QmpEvent> {
    if (this.#ended) return Promise.reject(this.#ended);
    const matches = typeof wanted === 'string' ? (event: QmpEvent): boolean => event.event === wanted : wanted;
    const { promise, resolve, reject } = Promise.withResolvers<QmpEvent>();
    const remove = this.onEvent((event) => {
      if (matches(event)) resolve(event);
    });
    this.closed.then(reject, () => undefined);
    const name = typeof wanted === 'string' ? `with the event ${wanted}` : 'with the expected event';
    return bounded(promise, name, options.timeoutMs ?? COMMAND_TIMEOUT_MS, options.signal, remove);
  }

  /** Idempotent. Commands that wait are rejected with GW_QMP_CLOSED. */
  close(): void {
    this.#end(undefined);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #receive(chunk: Buffer): void {
    try {
      for (const line of this.#lines.push(chunk)) this.#dispatch(parseMessage(this.path, line));
    } catch (error) {
      this.#end(error);
    }
  }

  #dispatch(message: QmpMessage | undefined): void {
    if (message === undefined) return;
    if (message.event !== undefined) {
      const { seconds, microseconds } = message.timestamp ?? { seconds: 0, microseconds: 0 };
      const timestampMs = seconds * 1000 + microseconds / 1000;
      const event = { event: message.event, data: message.data ?? {}, timestampMs };
      for (const listener of [...this.#listeners]) listener(event);
      return;
    }
    const pending = typeof message.id === 'number' ? this.#pending.get(message.id) : undefined;
    if (!pending) return;
    if (message.error === undefined) {
      pending.resolve(message.return ?? {});
      return;
    }
    const { desc, class: errorClass } = message.error;
    pending.reject(new GodwitError('GW_QMP_ERROR', { command: pending.command, reason: desc, class: errorClass }));
  }

  /** Returns why it ended first. */
  #end(cause: unknown): GodwitError {
    if (this.#ended) return this.#ended;
    const options = cause === undefined ? undefined : { cause };
    this.#ended = cause instanceof GodwitError ? cause : new GodwitError('GW_QMP_CLOSED', { path: this.path }, options);
    for (const pending of this.#pending.values()) pending.reject(this.#ended);
    this.#pending.clear();
    this.#socket.destroy();
    return this.#ended;
  }
}

interface QmpMessage {
  readonly id?: JsonValue;
  readonly return?: JsonValue;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly event?: string;
  readonly data?: Record<string, JsonValue>;
  readonly timestamp?: { readonly seconds: number; readonly microseconds: number };
}

/** undefined for an empty line, which QEMU never sends but the specification allows. */
function parseMessage(path: string, line: string): QmpMessage | undefined {
  if (line.trim() === '') return undefined;
  try {
    const message: unknown = JSON.parse(line);
    if (typeof message === 'object' && message !== null) return message;
  } catch (cause) {
    const reason = `a line is not JSON: ${line.slice(0, 60)}`;
    throw new GodwitError('GW_QMP_PROTOCOL', { path, reason }, { cause });
  }
  throw new GodwitError('GW_QMP_PROTOCOL', { path, reason: `a line is no object: ${line.slice(0, 60)}` });
}

function bounded<T>(
  work: Promise<T>,
  command: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  cleanUp: () => void,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const onAbort = (): void => reject(signal?.reason);
  const timer = setTimeout(() => reject(new GodwitError('GW_QMP_TIMEOUT', { command, timeoutMs })), timeoutMs);
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  work.then(resolve, reject);
  return promise.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    cleanUp();
  });
}
