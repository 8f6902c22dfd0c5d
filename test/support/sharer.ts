/**
 * A stand-in for a VM that shares memory, which can change hosts: a process that adds to random words of a shared file, and
 * what it remembers of them, in a file of its own that the next process of the same VM goes on with.
 *
 * Owns: the process of now and the file. Must hold: the process is no child of this one (libuv would take the stops of
 * ptrace for itself).
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { identifyProcess, type ProcessIdentity, signalProcess } from '../../src/linux/process.ts';
import { waitUntil } from './wait-until.ts';

const Word = {
  pause: 0,
  paused: 1,
  accesses: 2,
  errors: 3,
  random: 4,
  intervalUs: 5,
  at: 6,
  only: 7,
  pages: 8,
} as const;

export class Sharer implements Disposable {
  readonly vm: string;
  readonly #own: number;
  readonly #ownPath: string;
  readonly #pages: number;
  #process: (ProcessIdentity & { readonly start: bigint }) | undefined;

  /** @param directory - where its own file is put */
  constructor(vm: string, directory: string, pages: number) {
    this.vm = vm;
    this.#pages = pages;
    this.#ownPath = join(directory, `own-${vm}`);
    this.#own = openSync(this.#ownPath, 'w+');
    ftruncateSync(this.#own, (Word.pages + 2 * pages) * 8);
    this.#set(Word.random, BigInt(vm.charCodeAt(0)) * 0x9e3779b97f4a7c15n);
    this.#set(Word.pause, 1n);
  }

  /** Starts its process, or that at another host; it touches nothing before `run`. */
  async start(path: string): Promise<void> {
    this.#set(Word.paused, 0n);
    const child = spawn(compile(), [path, this.#ownPath], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const [pid = '', address = ''] = line.toString().trim().split(' ');
    child.stdout.destroy();
    this.#process = { ...identifyProcess(Number(pid))!, start: BigInt(`0x${address}`) };
  }

  get watched(): { vm: string; pid: number; startTicks: number; hostAddress: bigint } {
    const { pid, startTicks, start } = this.#process!;
    return { vm: this.vm, pid, startTicks, hostAddress: start };
  }

  get isAlive(): boolean {
    return this.#process !== undefined && identifyProcess(this.#process.pid) !== undefined;
  }

  /** Touches pages from now on. @param intervalUs - between two accesses @param onlyPage - no other */
  run(intervalUs = 0, onlyPage?: number): void {
    this.#set(Word.intervalUs, BigInt(intervalUs));
    this.#set(Word.only, BigInt((onlyPage ?? -1) + 1));
    this.#set(Word.pause, 0n);
  }

  /** Resolves when it touches nothing any more: the access that it is at has been made. */
  async pause(timeoutMs?: number): Promise<void> {
    this.#set(Word.pause, 1n);
    const options = timeoutMs === undefined ? {} : { timeoutMs };
    await waitUntil(`${this.vm} pauses`, () => this.#get(Word.paused) === 1n, { intervalMs: 1, ...options });
  }

  get accesses(): number {
    return Number(this.#get(Word.accesses));
  }

  /** Values that it found and that were smaller than what it had seen there before. */
  get errors(): number {
    return Number(this.#get(Word.errors));
  }

  /** The page that it accesses, or waits for; undefined between accesses. */
  get at(): number | undefined {
    const at = Number(this.#get(Word.at));
    return at === 0 ? undefined : at - 1;
  }

  /** How often it has added to each page. */
  added(): number[] {
    return Array.from({ length: this.#pages }, (_, page) => Number(this.#get(Word.pages + 2 * page + 1)));
  }

  /** Also while it waits for a page. */
  async kill(): Promise<void> {
    const identity = this.#process;
    if (!identity) return;
    signalProcess(identity, 'SIGKILL');
    await waitUntil(`${this.vm} ends`, () => identifyProcess(identity.pid) === undefined, { intervalMs: 1 });
    this.#process = undefined;
  }

  [Symbol.dispose](): void {
    if (this.#process) signalProcess(this.#process, 'SIGKILL');
    closeSync(this.#own);
    rmSync(this.#ownPath);
  }

  #get(word: number): bigint {
    const value = new BigUint64Array(1);
    readSync(this.#own, value, 0, 8, word * 8);
    return value[0]!;
  }

  #set(word: number, value: bigint): void {
    writeSync(this.#own, BigUint64Array.of(value), 0, 8, word * 8);
  }
}

/** What the words of all pages are now. */
export function readSharedWords(path: string, pages: number): number[] {
  const file = openSync(path, 'r');
  const value = new BigUint64Array(1);
  const values = Array.from({ length: pages }, (_, page) => {
    readSync(file, value, 0, 8, page * PAGE_SIZE + (page % 512) * 8);
    return Number(value[0]);
  });
  closeSync(file);
  return values;
}

let binary: string | undefined;

function compile(): string {
  if (binary !== undefined) return binary;
  const directory = mkdtempSync(join(tmpdir(), 'godwit-sharer-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  binary = join(directory, 'sharer');
  execFileSync('cc', ['-O1', '-o', binary, new URL('sharer.c', import.meta.url).pathname]);
  return binary;
}
