/**
 * Runs the host daemon until it is told to stop.
 *
 * Owns: where the daemon meets the real engine, the log, the service manager and the stop signals.
 */
import { parseInput } from '../api/input-error.ts';
import { notifySystemd } from '../linux/sd-notify.ts';
import { HostConfigSchema, readConfigFile, resolveConfig } from './config.ts';
import { startDaemon } from './daemon.ts';
import type { Engine } from './engine-port.ts';
import { openLogger } from './logger.ts';

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
  ready(facts: ReadyFacts): void;
  onStopSignal(listener: () => void): () => void;
  warn(error: unknown): void;
}

/** Returns how many migrations had to be left when it stopped. Throws when the daemon cannot start. */
export async function runHost(options: RunHostOptions): Promise<number> {
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
  const daemon = await startDaemon(config, { engine, log, version: options.version });
  options.ready({
    name: daemon.name,
    api: daemon.api[0]!,
    apis: daemon.api,
    migration: daemon.migration,
    pid: process.pid,
  });
  notify('READY=1', options);
  await stopped.promise;
  forget();
  notify('STOPPING=1', options);
  log.info('stopping; the VMs run on');
  return daemon.close();
}

function notify(state: string, options: RunHostOptions): void {
  try {
    notifySystemd(state);
  } catch (error) {
    options.warn(error);
  }
}
