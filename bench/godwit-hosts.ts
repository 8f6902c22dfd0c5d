/**
 * Two host daemons, one in each namespace, for all runs of godwit.
 *
 * Owns: the daemons and every VM that they are asked to create; both are ended at the end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { hasCode } from '../src/base/errors.ts';
import { GodwitClient } from '../src/client/godwit-client.ts';
import { ADDRESSES, enter, type Side } from './network.ts';

const GODWIT = fileURLToPath(new URL('../bin/godwit', import.meta.url));
const USUAL: HostSettings = { migrationPort: 7710, args: [] };
/** More than a quiet machine takes by far. */
const START_TIMEOUT_MS = 60_000;
const POLL_MS = 50;

export interface HostSettings {
  /** Default: that of its side. */
  readonly name?: string;
  readonly migrationPort: number;
  /** Further arguments of `godwit host`. */
  readonly args: readonly string[];
}

export class GodwitHosts implements AsyncDisposable {
  readonly source: GodwitHost;
  readonly destination: GodwitHost;

  private constructor(source: GodwitHost, destination: GodwitHost) {
    this.source = source;
    this.destination = destination;
  }

  static async start(directory: string, settings: HostSettings = USUAL): Promise<GodwitHosts> {
    const [source, destination] = (['source', 'destination'] as const).map(
      (side) => new GodwitHost(side, directory, settings),
    );
    const hosts = new GodwitHosts(source!, destination!);
    try {
      await Promise.all([hosts.source.ready(), hosts.destination.ready()]);
      return hosts;
    } catch (error) {
      await hosts[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.source.end(), this.destination.end()]);
  }
}

export class GodwitHost {
  readonly client: GodwitClient;
  /** HOST:PORT of its migration port. */
  readonly migrationAddress: string;
  readonly #child: ChildProcess;
  readonly #logPath: string;

  constructor(side: Side, directory: string, { name = side, migrationPort, args: further }: HostSettings) {
    const socket = join(directory, `${name}.sock`);
    this.#logPath = join(directory, `${name}.log`);
    this.migrationAddress = `${ADDRESSES[side]}:${migrationPort}`;
    this.client = new GodwitClient({ url: `unix:${socket}` });
    const [program, args] = enter(side, GODWIT, [
      ...['host', '--name', name, '--state', join(directory, name[0]!), '--listen', `unix:${socket}`],
      ...['--migration-listen', this.migrationAddress, '--insecure-migration', '--log-format', 'json'],
      ...further,
    ]);
    const log = openSync(this.#logPath, 'a');
    this.#child = spawn(program, args, { stdio: ['ignore', log, log] });
  }

  /** nsenter, the shell script and Node follow each other in one process. */
  get pid(): number {
    return this.#child.pid!;
  }

  /** What it has logged so far, line by line. */
  get log(): Record<string, unknown>[] {
    const lines = readFileSync(this.#logPath, 'utf8').split('\n');
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async ready(): Promise<void> {
    const deadlineMs = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      const error = await this.client.host().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error === undefined) return;
      if (this.#child.exitCode !== null || performance.now() > deadlineMs) {
        throw new Error(`The host daemon did not start; its log is ${this.#logPath}`, { cause: error });
      }
      await delay(POLL_MS);
    }
  }

  /** Ends a VM and forgets it, if it is there. */
  async remove(vm: string): Promise<void> {
    const found = (await this.client.listVms()).find(({ name }) => name === vm);
    if (found === undefined) return;
    if (found.pid !== null) await this.client.actOnVm(vm, 'kill');
    // On a busy machine a QEMU that was killed takes its time to be gone.
    const deadlineMs = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      try {
        return await this.client.removeVm(vm);
      } catch (error) {
        if (!hasCode(error, 'GW_CONFLICT') || performance.now() > deadlineMs) throw error;
        await delay(POLL_MS);
      }
    }
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    for (const { name } of await this.client.listVms().catch(() => [])) await this.remove(name).catch(() => undefined);
    await this.client.close();
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGTERM');
    await closed;
  }
}
