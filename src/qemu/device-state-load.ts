/**
 * Puts the state of CPUs and devices into a QEMU that was started with `-S -incoming defer`.
 *
 * Must hold: `loaded` resolves only after QEMU has all of it and is paused; a failure carries QEMU's own words, which
 * are in its log, because QEMU ends when it cannot load. Must never: be called before
 * `borrowMigrationSettings(qmp, 'load')`, or QEMU would wait for RAM. The RAM files must hold (or be set up to fetch)
 * the guest's memory before the first byte: loading reads it.
 */
import { rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { logSize, readLogTail } from './log-tail.ts';
import { MigrationStatus } from './migration-status.ts';
import type { QmpClient } from './qmp.ts';

export interface DeviceStateLoad {
  /** QEMU listens and the connection stands: from here on `write` goes straight into it. */
  readonly ready: Promise<void>;
  /** Resolves when the chunk was taken over; wait for it, so that a slow QEMU slows the sender. */
  write(chunk: Uint8Array): Promise<void>;
  /** There is no more to come. */
  end(): Promise<void>;
  /** All is loaded; the VM is paused and `cont` starts it. Rejects with GW_QEMU_STATE, or the signal's reason. */
  readonly loaded: Promise<void>;
}

export interface LoadOptions {
  /** QEMU's log: where its reason is when it fails. */
  readonly logPath: string;
  readonly signal?: AbortSignal;
}

/** Time for QEMU to close its connection and to flush its last words after it gave up. */
const LAST_WORDS_MS = 1_000;

export function loadDeviceState(qmp: QmpClient, socketPath: string, options: LoadOptions): DeviceStateLoad {
  const logFrom = logSize(options.logPath);
  const status = new MigrationStatus(qmp);
  const connection = listenAndConnect(qmp, socketPath, status);
  const loaded = Promise.race([waitForEnd(status), connection.then(never), aborted(options.signal)]).catch(
    async (error: unknown) => {
      if (options.signal?.aborted) throw options.signal.reason;
      throw await explainFailure(qmp, error, options.logPath, logFrom);
    },
  );
  const release = (): void => {
    status[Symbol.dispose]();
    rmSync(socketPath, { force: true });
    connection.then(
      (socket) => socket.destroy(),
      () => undefined,
    );
  };
  loaded.then(release, release);
  const ready = connection.then(
    () => undefined,
    () => loaded,
  );
  // Whoever does not wait for it hears the same from `loaded`.
  ready.catch(() => undefined);
  return {
    ready,
    write: async (chunk) => {
      await ready;
      await send(await connection, chunk, loaded);
    },
    end: async () => {
      await ready;
      (await connection).end();
    },
    loaded,
  };
}

async function listenAndConnect(qmp: QmpClient, socketPath: string, status: MigrationStatus): Promise<Socket> {
  rmSync(socketPath, { force: true });
  await qmp.execute('migrate-incoming', { uri: `unix:${socketPath}` });
  status.started();
  return await new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath });
    socket.once('connect', () => {
      // What goes wrong on it later is told by QEMU itself, through `loaded`.
      socket.removeAllListeners('error').on('error', () => socket.destroy());
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

async function waitForEnd(status: MigrationStatus): Promise<void> {
  const end = await status.ended;
  if (end.status === 'completed') return;
  throw loadError(end.errorDescription ?? `QEMU says ${end.status}`);
}

/** A write that QEMU will never take ends with the loading. */
async function send(socket: Socket, chunk: Uint8Array, loaded: Promise<void>): Promise<void> {
  if (socket.write(chunk)) return;
  const drained = new Promise<void>((resolve) => socket.once('drain', resolve));
  await Promise.race([drained, loaded]);
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

async function explainFailure(qmp: QmpClient, error: unknown, logPath: string, logFrom: number): Promise<GodwitError> {
  // QEMU writes its reason while it is ending; a QEMU that stays has said it through QMP.
  await Promise.race([qmp.closed, delay(LAST_WORDS_MS)]);
  const words = readLogTail(logPath, logFrom);
  const known = asGodwitError(error);
  const said = known.details['reason'];
  const reason =
    words !== '' ? words : known.code === 'GW_QMP_CLOSED' ? 'QEMU has ended' : String(said ?? known.message);
  return loadError(reason, error);
}

function loadError(reason: string, cause?: unknown): GodwitError {
  return new GodwitError('GW_QEMU_STATE', { action: 'load', reason }, cause === undefined ? undefined : { cause });
}
