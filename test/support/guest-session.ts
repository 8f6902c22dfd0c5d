/**
 * A client's open TCP connection to a guest that moves, from a network namespace of its own.
 *
 * Owns: the client's process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { markChildren } from './leak-check.ts';
import { within } from './wait-until.ts';

/** Since it was asked last. */
export interface SeenByClient {
  readonly ticks: number;
  /** Between two ticks, which the guest sends every 5 ms. */
  readonly largestGapMs: number;
  /** How often the client has said something so far, which is once each time it is asked, and how often it was answered. */
  readonly asked: number;
  readonly answered: number;
  /** Lines that were lost, doubled or out of order, and whatever became of the connection. */
  readonly problems: readonly string[];
}

const MAIN = fileURLToPath(new URL('guest-session-main.ts', import.meta.url));

export class GuestSession implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: Interface;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#lines = createInterface(child.stdout!);
  }

  /** @param launcher - words in front of the program; see `NetworkLab` */
  static async open(launcher: readonly string[], address: string, port: number): Promise<GuestSession> {
    markChildren();
    const [program, ...words] = [...launcher, process.execPath, MAIN, address, String(port)];
    const session = new GuestSession(spawn(program!, words, { stdio: ['pipe', 'pipe', 'inherit'] }));
    await session.#line();
    return session;
  }

  async look(): Promise<SeenByClient> {
    const line = this.#line();
    this.#child.stdin!.write('\n');
    return JSON.parse(await line) as SeenByClient;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#child, 'close');
    this.#child.stdin!.end();
    await closed;
  }

  async #line(): Promise<string> {
    const [line] = (await within('the client answers', once(this.#lines, 'line'))) as [string];
    return line;
  }
}
