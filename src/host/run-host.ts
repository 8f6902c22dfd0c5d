/**
 * Runs the host daemon until it is told to stop.
 *
 * Owns: where the daemon meets the real engine, the log, the service manager and the stop signals.
 */
import { flushCompileCache } from 'node:module';
import { parseInput } from '../api/input-error.ts';
import { explain } from '../base/errors.ts';
import { exitAtOnce } from '../linux/exit.ts';
import { notifySystemd } from '../linux/sd-notify.ts';
import { keepLargeBlocksApart } from '../linux/spare-memory.ts';
import { type HostConfig, readConfigFile, resolveConfig } from './config.ts';
import { HostConfigSchema } from './config-schema.ts';
import { startDaemon } from './daemon.ts';
import type { Engine } from './engine-port.ts';
import { type Logger, openLogger } from './logger.ts';

export interface ReadyFacts {
  readonly name: string;
  /** The first API address. */
  readonly api: string;
  readonly apis: readonly string[];
  readonly migration: string;
  readonly pid: number;
}

export interface RunHostOptions {
  /** Settings from the command line; they win over the file's. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly configPath?: string;
  readonly token: string | undefined;
  readonly terminal: boolean;
  readonly version: string;
  /** @param logFormat - `json`: whoever reads stderr reads JSON lines, of which the log has had one about this */
  ready(facts: ReadyFacts, logFormat: HostConfig['logFormat']): void;
  onStopSignal(listener: () => void): () => void;
}

/**
 * Returns of how many migrations the end was not known when it stopped. Whoever calls ends the process: threads may run on.
 * Throws when the daemon cannot start.
 */
export async function runHost(options: RunHostOptions): Promise<number> {
  keepLargeBlocksApart();
  const fromFile = options.configPath === undefined ? {} : readConfigFile(options.configPath);
  const fromFlags = parseInput(HostConfigSchema, options.flags, '');
  const peers = { ...fromFile.peers, ...fromFlags.peers };
  const config = resolveConfig(
    { ...fromFile, ...fromFlags, peers },
    { terminal: options.terminal, ...(options.token === undefined ? {} : { token: options.token }) },
  );
  const log = openLogger({ level: config.logLevel, format: config.logFormat, name: config.name });
  const engine: Engine = await import('../migration/engine.ts');
  const stopped = Promise.withResolvers<void>();
  // From before the start, so that a signal during it is not lost.
  const forget = options.onStopSignal(() => stopped.resolve());
  try {
    const daemon = await startDaemon(config, { engine, log, version: options.version });
    const { name, api, migration } = daemon;
    options.ready({ name, api: api[0]!, apis: api, migration, pid: process.pid }, config.logFormat);
    notify('READY=1', log);
    await stopped.promise;
    forget();
    notify('STOPPING=1', log);
    log.info('stopping; the VMs run on');
    const left = await daemon.close();
    if (left > 0) log.warn({ migrations: left }, 'migrations are left; the next daemon goes on with them');
    return left;
  } finally {
    // Not before: Node says what an error that nobody caught was only after its listeners.
    process.once('exit', endWithThreads);
  }
}

/** Threads of migrations can be left, and can wait in a call of the kernel: Node would wait for them. */
function endWithThreads(status: number): void {
  flushCompileCache();
  exitAtOnce(status);
}

function notify(state: string, log: Logger): void {
  try {
    notifySystemd(state);
  } catch (error) {
    log.warn({ reason: explain(error) }, 'cannot tell the service manager');
  }
}
