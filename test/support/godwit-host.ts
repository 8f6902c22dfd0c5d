/**
 * A real host daemon in a process of its own, on ports that the system chose, with a state directory of its own.
 *
 * Owns: the daemon, its VMs' processes and its state directory; `await using` ends and removes them all. Must hold: a
 * daemon that ends without being told to fails the test, with how it ended and what it said last.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hasCode } from '../../src/base/errors.ts';
import { identifyProcess, readCommandLine } from '../../src/linux/process.ts';
import { killQemu } from '../../src/qemu/process.ts';
import {
  type CliOptions,
  type CliResult,
  collectOutput,
  parseOrUndefined,
  runCli,
  runCliJson,
  spawnGodwit,
} from './godwit-cli.ts';
import { TempDirectory } from './temp-directory.ts';
import { TinyGuestView } from './tiny-guest-view.ts';
import { type TinyVmOptions, tinyVmBody } from './tiny-vm.ts';
import { waitUntil, within } from './wait-until.ts';

export interface HostOptions {
  readonly name: string;
  /** Further arguments of `godwit host`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Default 127.0.0.1; for a daemon in a network namespace the address that others reach it at. */
  readonly address?: string;
  /** The API is at a unix socket in its directory, which is reached from every network namespace. */
  readonly apiSocket?: boolean;
  /** Words in front of bin/godwit, such as `ip netns exec NAME`; commands to this host get them as well. */
  readonly launcher?: readonly string[];
  /** Another bin/godwit than this checkout's; commands to this host are run by it, too. */
  readonly program?: string;
}

interface ReadyFacts {
  readonly api: string;
  readonly migration: string;
  readonly pid: number;
}

interface VmFacts {
  readonly name: string;
  readonly pid: number | null;
  readonly memoryBytes: number;
}

interface UnexpectedEnd {
  /** Signal or exit status. */
  readonly how: string;
  log(): string;
}

const START_TIMEOUT_MS = 20_000;
/** A daemon that stops waits 30 s for its migrations. */
const STOP_TIMEOUT_MS = 45_000;
/** The kernel closes a dead process's connections before its parent hears of the death. */
const DEATH_NEWS_MS = 500;
/** Most daemons of tests live for seconds, and making threads that nobody needs takes longer; soak tests have them. */
const SPARE_THREADS: readonly string[] = process.env['GODWIT_SOAK'] === '1' ? [] : ['--spare-threads', 'off'];
/** Enough for a stack trace and what led to it. */
const LAST_LOG_LINES = 20;

/** Starts it and waits until it says that it is ready. */
export async function startHost(options: HostOptions): Promise<TestHost> {
  const host = new TestHost(options);
  try {
    await host.start();
    return host;
  } catch (error) {
    host.directory[Symbol.dispose]();
    throw error;
  }
}

export class TestHost implements AsyncDisposable {
  readonly name: string;
  readonly directory: TempDirectory = new TempDirectory();
  readonly #options: HostOptions;
  #child: ChildProcess | undefined;
  #facts: ReadyFacts | undefined;
  #output: (() => { stdout: string; stderr: string }) | undefined;
  /** What daemons that have ended wrote. */
  #earlierLog = '';
  #isEnding = false;
  readonly #unexpectedEnds: UnexpectedEnd[] = [];

  constructor(options: HostOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** API address, as `--api` takes it. */
  get api(): string {
    return this.#known.api;
  }

  /** HOST:PORT of the migration port, as `--to` takes it. */
  get migration(): string {
    return this.#known.migration;
  }

  /** Of the daemon. */
  get pid(): number {
    return this.#known.pid;
  }

  /** Between `start` and `stop` or `kill`. */
  get isRunning(): boolean {
    return this.#child !== undefined && !hasEnded(this.#child);
  }

  /** All that daemons of this host have logged. */
  get log(): string {
    return this.#earlierLog + (this.#output?.().stderr ?? '');
  }

  /**
   * Starts the daemon, again after `stop` or `kill`: then on the same ports. Throws when it is not ready in time.
   * @param env - of this daemon only
   */
  async start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    if (this.isRunning) throw new Error(`The daemon of ${this.name} runs already`);
    // It may have ended by itself, which is told in the end.
    await this.#end('SIGKILL');
    const { address = '127.0.0.1', apiSocket = false } = this.#options;
    const first = apiSocket ? `unix:${this.directory.join('api.sock')}` : `${address}:0`;
    const listen = this.#facts === undefined ? first : this.#facts.api.replace(/^https?:\/\//, '');
    const child = spawnGodwit(
      [
        'host',
        ...['--json', '--log-format', 'json', '--name', this.name, '--state', this.directory.join('state')],
        ...['--listen', listen, '--migration-listen', this.#facts?.migration ?? `${address}:0`],
        ...SPARE_THREADS,
        ...(this.#options.args ?? []),
      ],
      { ...this.#cliOptions, env: { ...this.#options.env, ...env } },
    );
    const output = collectOutput(child);
    child.once('exit', (status, signal) => {
      // Whoever is asked to end does so with a status; other signals are crashes at any time.
      const wasTold = this.#isEnding && (signal === null || signal === 'SIGTERM' || signal === 'SIGKILL');
      if (!wasTold) this.#unexpectedEnds.push({ how: signal ?? `exit status ${status}`, log: () => output().stderr });
    });
    this.#child = child;
    this.#output = output;
    try {
      this.#facts = await within(`host ${this.name} is ready`, readyFacts(child, output), START_TIMEOUT_MS);
    } catch (error) {
      await this.#end('SIGKILL');
      throw new Error(`Host ${this.name} did not start: ${this.log}`, { cause: error });
    }
  }

  /** Ends the daemon as a service manager does; its VMs run on. Returns its exit status. */
  stop(): Promise<number | null> {
    return this.#end('SIGTERM');
  }

  /** How daemons ended that nobody had told to; empty when none did. Waits for a death that may just have happened. */
  async unexpectedEnds(): Promise<string> {
    await waitUntil('it has died', () => this.#unexpectedEnds.length > 0, { timeoutMs: DEATH_NEWS_MS }).catch(
      () => undefined,
    );
    return this.#describeEnds();
  }

  /** Ends the daemon as a crash does; its VMs run on. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Runs `godwit ARGS…` with this host's API. */
  cli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    return runCli(args, { ...this.#cliOptions, api: this.api, ...options });
  }

  /** Runs `godwit ARGS… --json` with this host's API and returns the document; throws unless the status is 0. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into documents of many shapes
  json(args: readonly string[], options: CliOptions = {}): Promise<any> {
    return runCliJson(args, { ...this.#cliOptions, api: this.api, ...options });
  }

  /** Creates a VM with the tiny guest by `godwit vm create`. */
  async createTinyVm(options: TinyVmOptions & { readonly name: string }): Promise<void> {
    const path = this.directory.join(`${options.name}.json`);
    writeFileSync(path, JSON.stringify(tinyVmBody(this.directory, options)));
    await this.json(['vm', 'create', path]);
    using guest = await this.openGuest(options.name);
    await guest.ready();
  }

  /** The tiny guest of a VM that this host has. The caller disposes of it. */
  async openGuest(vm: string): Promise<TinyGuestView> {
    const { pid, memoryBytes } = (await this.json(['vm', 'show', vm])) as VmFacts;
    if (pid === null) throw new Error(`VM ${vm} has no process on host ${this.name}`);
    return new TinyGuestView(pid, memoryBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end('SIGTERM');
    await this.#endVms();
    this.#removeRegions();
    this.directory[Symbol.dispose]();
    if (this.#unexpectedEnds.length > 0) throw new Error(this.#describeEnds());
  }

  get #known(): ReadyFacts {
    if (this.#facts === undefined) throw new Error(`Host ${this.name} has not been started`);
    return this.#facts;
  }

  get #cliOptions(): CliOptions {
    const { env, launcher, program } = this.#options;
    return Object.fromEntries(Object.entries({ env, launcher, program }).filter(([, value]) => value !== undefined));
  }

  /** VMs outlive their daemon by design. Those it created have sockets in its directory; adopted ones do not. */
  async #endVms(): Promise<void> {
    for (const pid of readdirSync('/proc').map(Number)) {
      const identity = pid > 0 ? identifyProcess(pid) : undefined;
      if (identity !== undefined && isQemuWith(pid, this.directory.path)) await killQemu(identity);
    }
  }

  /** Regions outlive the daemon as VMs do, and the next one would remove them. */
  #removeRegions(): void {
    const table = this.directory.join('state', 'regions.json');
    if (!existsSync(table)) return;
    const { regions } = JSON.parse(readFileSync(table, 'utf8')) as { regions: { path: string; isOurs: boolean }[] };
    for (const { path, isOurs } of regions) if (isOurs) rmSync(path, { force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    if (child === undefined) return null;
    if (!hasEnded(child)) {
      this.#isEnding = true;
      const closed = once(child, 'close');
      child.kill(signal);
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await closed;
      clearTimeout(late);
    }
    this.#earlierLog = this.log;
    this.#child = undefined;
    this.#output = undefined;
    this.#isEnding = false;
    return child.exitCode;
  }

  #describeEnds(): string {
    const ends = this.#unexpectedEnds.map(({ how, log }) => {
      const lines = log().trimEnd().split('\n').slice(-LAST_LOG_LINES);
      return `The daemon of host ${this.name} ended by itself with ${how}; what it logged last:\n${lines.join('\n')}`;
    });
    return ends.join('\n');
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function isQemuWith(pid: number, path: string): boolean {
  try {
    const [program = '', ...args] = readCommandLine(pid);
    return program.includes('qemu') && args.some((argument) => argument.includes(path));
  } catch (error) {
    if (hasCode(error, 'GW_SYS_PROCESS_GONE')) return false;
    throw error;
  }
}

/** The document that `godwit host --json` writes when it is ready. */
async function readyFacts(child: ChildProcess, output: () => { stdout: string }): Promise<ReadyFacts> {
  const { promise, resolve, reject } = Promise.withResolvers<ReadyFacts>();
  child.stdout?.on('data', () => {
    // A part of the document only, so far, or an error's, after which it ends.
    const facts = parseOrUndefined(output().stdout) as Partial<ReadyFacts> | undefined;
    if (facts?.migration !== undefined) resolve(facts as ReadyFacts);
  });
  child.once('close', (status) => reject(new Error(`It ended with ${status}`)));
  child.once('error', reject);
  return promise;
}
