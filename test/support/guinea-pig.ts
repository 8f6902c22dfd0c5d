/**
 * A process for kernel tests to experiment on: it maps a file of /dev/shm and touches pages on command.
 *
 * Owns: the process and the file. A thread of it may wait for ever for a page: the answer then never comes, `command`
 * gives up after a while, and disposing kills the process.
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { identifyProcess, type ProcessIdentity, signalProcess } from '../../src/linux/process.ts';
import { SHARED_MEMORY_PREFIX } from './temp-directory.ts';

const ANSWER_DEADLINE_MS = 5000;
const PAGE_SIZE = 4096;

export class GuineaPig implements AsyncDisposable {
  readonly pid: number;
  readonly path: string;
  readonly pageCount: number;
  /** Where the process has mapped the file. */
  readonly start: bigint;
  /** Its parent, which ends right after it. */
  readonly #parent: ChildProcessWithoutNullStreams;
  readonly #directory: string;
  readonly #lines: AsyncIterator<string>;
  readonly #identity: ProcessIdentity;
  readonly #mounted: boolean;

  private constructor(
    parent: ChildProcessWithoutNullStreams,
    directory: string,
    pageCount: number,
    greeting: string,
    lines: AsyncIterator<string>,
    mounted: boolean,
  ) {
    const [pid, start] = greeting.split(' ');
    this.#mounted = mounted;
    this.#parent = parent;
    this.#directory = directory;
    this.#lines = lines;
    this.pid = Number(pid);
    this.#identity = identifyProcess(this.pid)!;
    this.path = join(directory, 'ram');
    this.pageCount = pageCount;
    this.start = BigInt(`0x${start}`);
  }

  /** One that maps a file of somebody else's, whole. */
  static async mapping(path: string): Promise<GuineaPig> {
    const directory = mkdtempSync(join(tmpdir(), 'godwit-test-'));
    symlinkSync(path, join(directory, 'ram'));
    return GuineaPig.#launch(directory, statSync(path).size / PAGE_SIZE, false);
  }

  /**
   * @param roomPages - give it a file system of its own with room for so many pages (needs root)
   * @param huge - whether that one takes huge pages
   */
  static async start(pageCount: number, roomPages?: number, huge: 'always' | 'never' = 'never'): Promise<GuineaPig> {
    const directory = mkdtempSync(SHARED_MEMORY_PREFIX);
    if (roomPages !== undefined) {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${roomPages * 4}k,huge=${huge}`, 'godwit-test', directory]);
    }
    const path = join(directory, 'ram');
    const file = openSync(path, 'w');
    ftruncateSync(file, pageCount * PAGE_SIZE);
    closeSync(file);
    return GuineaPig.#launch(directory, pageCount, roomPages !== undefined);
  }

  static async #launch(directory: string, pageCount: number, mounted: boolean): Promise<GuineaPig> {
    const parent = spawn(compile(), [join(directory, 'ram')], { stdio: ['pipe', 'pipe', 'pipe'] });
    const lines = createInterface({ input: parent.stdout })[Symbol.asyncIterator]();
    const greeting: string = (await lines.next()).value ?? '';
    return new GuineaPig(parent, directory, pageCount, greeting, lines, mounted);
  }

  addressOf(page: number): bigint {
    return this.start + BigInt(page * PAGE_SIZE);
  }

  async write(page: number, value: number): Promise<void> {
    this.send(`w ${page} ${value}`);
    await this.answer();
  }

  async writeEverySecond(): Promise<void> {
    this.send('e');
    await this.answer();
  }

  async read(page: number): Promise<number> {
    this.send(`r ${page}`);
    return Number(await this.answer());
  }

  /** Touches the page on another thread; its answer `PAGE=VALUE` comes when the page is there. */
  async readOnThread(page: number): Promise<void> {
    this.send(`t ${page}`);
    await this.answer();
  }

  send(command: string): void {
    this.#parent.stdin.write(`${command}\n`);
  }

  async answer(): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('The guinea pig does not answer')), ANSWER_DEADLINE_MS);
    });
    try {
      return (await Promise.race([this.#lines.next(), deadline])).value;
    } finally {
      clearTimeout(timer);
    }
  }

  async kill(): Promise<void> {
    signalProcess(this.#identity, 'SIGKILL');
    if (this.#parent.exitCode === null && this.#parent.signalCode === null) await once(this.#parent, 'exit');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    if (this.#mounted) execFileSync('umount', [this.#directory]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

let binary: string | undefined;

function compile(): string {
  if (binary !== undefined) return binary;
  const directory = mkdtempSync(join(tmpdir(), 'godwit-guinea-pig-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  binary = join(directory, 'guinea-pig');
  execFileSync('cc', ['-O1', '-pthread', '-o', binary, new URL('guinea-pig.c', import.meta.url).pathname]);
  return binary;
}
