/**
 * A connection to the control socket of a VM's block server.
 *
 * Owns: the socket and the calls that wait for their answers. Must hold: every call ends: with its answer, the server's
 * error, a timeout, or the end of the connection, which is the end of the server.
 */
import { connect, type Socket } from 'node:net';
import { type ErrorBody, explain, GodwitError } from '../../base/errors.ts';
import { Lines } from '../../base/lines.ts';
import {
  CONTROL_ANSWER,
  CONTROL_CALLS,
  type ControlCall,
  MAX_CONTROL_LINE_BYTES,
  type Returns,
  type Takes,
} from './control-words.ts';

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** Of calls that wait for nothing; the server may be busy with requests, or the machine with others. */
const CALL_TIMEOUT_MS = 5000;

export class DiskServerClient implements Disposable {
  /** Resolves with the reason when the connection has ended, whoever ended it. Never rejects. */
  readonly closed: Promise<GodwitError>;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #end: GodwitError | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const lines = new Lines(MAX_CONTROL_LINE_BYTES, (reason) => failure(reason));
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const line of lines.push(chunk)) this.#take(line);
      } catch (error) {
        this.#close(failure(`it gave an answer that cannot be read: ${explain(error)}`));
      }
    });
    // It is closed right after.
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#close(failure('its process has ended'));
        resolve(this.#end!);
      });
    });
  }

  /** @throws GW_DISK_SERVER when nobody listens there */
  static connect(path: string): Promise<DiskServerClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      socket.once('error', (error) => reject(failure(explain(error), error)));
      socket.once('connect', () => {
        socket.removeAllListeners('error');
        resolve(new DiskServerClient(socket));
      });
    });
  }

  get isClosed(): boolean {
    return this.#end !== undefined;
  }

  /**
   * @param timeoutMs - 0: as long as it takes; for what waits for the storage
   * @throws GW_DISK_SERVER, and what the server says
   */
  call<Call extends ControlCall>(call: Call, words: Takes<Call>, timeoutMs = CALL_TIMEOUT_MS): Promise<Returns<Call>> {
    if (this.#end) return Promise.reject(this.#end);
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const late = (): void => reject(failure(`it has not answered ${call} within ${timeoutMs} ms`));
    const timer = timeoutMs > 0 ? setTimeout(late, timeoutMs) : undefined;
    this.#waiting.set(id, { resolve, reject });
    this.#socket.write(`${JSON.stringify({ id, call, with: words })}\n`);
    return promise
      .then((value) => CONTROL_CALLS[call].returns.parse(value) as Returns<Call>)
      .finally(() => {
        clearTimeout(timer);
        this.#waiting.delete(id);
      });
  }

  [Symbol.dispose](): void {
    this.#close(failure('the connection was closed here'));
  }

  #take(line: string): void {
    const { id, value, error } = CONTROL_ANSWER.parse(JSON.parse(line));
    const waiting = this.#waiting.get(id);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(GodwitError.fromBody(error as ErrorBody));
  }

  #close(reason: GodwitError): void {
    this.#end ??= reason;
    this.#socket.destroy();
    for (const waiting of this.#waiting.values()) waiting.reject(this.#end);
    this.#waiting.clear();
  }
}

function failure(reason: string, cause?: unknown): GodwitError {
  return new GodwitError('GW_DISK_SERVER', { reason }, cause === undefined ? undefined : { cause });
}
