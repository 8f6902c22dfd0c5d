/**
 * A real controller in a process of its own, on a port that the system chose, with a state directory of its own.
 *
 * Owns: the process and its directory; `await using` ends and removes both.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { FleetClient } from '../../src/client/fleet-client.ts';
import { type CliResult, collectOutput, parseOrUndefined, runCli, runCliJson, spawnGodwit } from './godwit-cli.ts';
import { TempDirectory } from './temp-directory.ts';
import { within } from './wait-until.ts';

export interface ControllerTrial {
  readonly name: string;
  /** The fleet file. */
  readonly fleet: string;
  /** Further arguments of `godwit controller`. */
  readonly args?: readonly string[];
}

const START_TIMEOUT_MS = 30_000;

export class TestController implements AsyncDisposable {
  readonly #options: ControllerTrial;
  readonly #directory = new TempDirectory();
  #child: ChildProcess | undefined;
  #output: () => { stdout: string; stderr: string } = () => ({ stdout: '', stderr: '' });
  #api: string | undefined;
  #client: FleetClient | undefined;

  private constructor(options: ControllerTrial) {
    this.#options = options;
  }

  static async open(options: ControllerTrial): Promise<TestController> {
    const controller = new TestController(options);
    try {
      await controller.start();
      return controller;
    } catch (error) {
      await controller[Symbol.asyncDispose]();
      throw error;
    }
  }

  get api(): string {
    if (this.#api === undefined) throw new Error(`Controller ${this.#options.name} has not been started`);
    return this.#api;
  }

  get client(): FleetClient {
    this.#client ??= new FleetClient({ url: this.api });
    return this.#client;
  }

  get log(): string {
    return this.#output().stderr;
  }

  /** Again after `kill`: on the same port. */
  async start(): Promise<void> {
    const { name, fleet, args = [] } = this.#options;
    const listen = this.#api === undefined ? '127.0.0.1:0' : this.#api.replace(/^http:\/\//, '');
    const child = spawnGodwit([
      'controller',
      ...['--json', '--log-format', 'json', '--name', name, '--state', this.#directory.join('state')],
      ...['--fleet', fleet, '--listen', listen, ...args],
    ]);
    const output = collectOutput(child);
    this.#child = child;
    this.#output = output;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    child.stdout?.on('data', () => {
      const facts = parseOrUndefined(output().stdout) as { api?: string } | undefined;
      if (facts?.api !== undefined) resolve(facts.api);
    });
    child.once('close', (status) => reject(new Error(`It ended with ${status}: ${output().stdout}${output().stderr}`)));
    this.#api = await within(`controller ${name} is ready`, promise, START_TIMEOUT_MS);
  }

  /** As by a crash. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** As a service manager does. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  /** `godwit fleet ARGS… --controller URL`. */
  cli(...args: readonly string[]): Promise<CliResult> {
    return runCli(['fleet', ...args, '--controller', this.api]);
  }

  // biome-ignore lint/suspicious/noExplicitAny: tests look into documents of many shapes
  json(...args: readonly string[]): Promise<any> {
    return runCliJson(['fleet', ...args, '--controller', this.api]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.close();
    await this.#end('SIGTERM');
    this.#directory[Symbol.dispose]();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill(signal);
    await within(`controller ${this.#options.name} ends`, closed);
  }
}
