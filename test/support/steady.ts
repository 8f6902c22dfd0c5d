/**
 * A process that ends when anything has been done to its main thread that it can notice (steady.c).
 *
 * Owns: the process, which is no child of this one, and its file.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identifyProcess, isAlive, type ProcessIdentity, signalProcess } from '../../src/linux/process.ts';
import { waitUntil } from './wait-until.ts';

const Word = { rounds: 0, signals: 1, letThrough: 2 } as const;

export class Steady implements Disposable {
  readonly pid: number;
  readonly #identity: ProcessIdentity;
  readonly #directory: string;
  readonly #file: number;

  private constructor() {
    this.#directory = mkdtempSync(join(tmpdir(), 'godwit-steady-'));
    const binary = join(this.#directory, 'steady');
    execFileSync('cc', ['-O1', '-o', binary, new URL('steady.c', import.meta.url).pathname]);
    const path = join(this.#directory, 'words');
    this.#file = openSync(path, 'w+');
    ftruncateSync(this.#file, 4096);
    const command = 'setsid "$0" "$1" </dev/null >/dev/null 2>"$2" & echo $!';
    this.pid = Number(execFileSync('sh', ['-c', command, binary, path, join(this.#directory, 'complaint')]).toString());
    this.#identity = identifyProcess(this.pid)!;
  }

  static async start(): Promise<Steady> {
    const steady = new Steady();
    await steady.goesOn();
    return steady;
  }

  /** Of the first real-time signal, that it has handled. */
  get signals(): number {
    return this.#get(Word.signals);
  }

  /** SIGUSR2 that it has handled. */
  get letThrough(): number {
    return this.#get(Word.letThrough);
  }

  /** What it found changed; undefined when it ended without a word. */
  get complaint(): string | undefined {
    return readFileSync(join(this.#directory, 'complaint'), 'utf8').trim() || undefined;
  }

  /** Resolves when it has done two rounds more: a whole one has begun and ended since. Throws when it has ended. */
  async goesOn(): Promise<void> {
    const rounds = this.#get(Word.rounds);
    await waitUntil('the steady process goes on', () => {
      if (!isAlive(this.#identity)) throw new Error(`It has ended: ${this.complaint ?? 'without a word'}`);
      return this.#get(Word.rounds) >= rounds + 2;
    });
  }

  [Symbol.dispose](): void {
    signalProcess(this.#identity, 'SIGKILL');
    closeSync(this.#file);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #get(word: number): number {
    const value = new BigUint64Array(1);
    readSync(this.#file, value, 0, 8, word * 8);
    return Number(value[0]);
  }
}
