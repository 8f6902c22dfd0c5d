/**
 * Stops a VM and takes the state of its CPUs and devices out of QEMU, without RAM.
 *
 * QEMU writes in two parts (capability pause-before-switchover): while the VM still runs, what lies outside of guest RAM
 * (firmware, frame buffer); then it stops the VM, waits, and writes the devices' state when it is told to.
 * Must hold: the chunks are handed on as they come (saving and sending overlap); never more than
 * MAX_DEVICE_STATE_BYTES are taken; whatever way it ends, QEMU has no migration under way afterwards and the VM can be
 * resumed with `cont`; a VM whose save fails or is cancelled is resumed by QEMU itself, if it ran. Must never: be called before `borrowMigrationSettings(qmp, 'save')`, or all RAM would come.
 */
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { isMigrating, isSending, MigrationStatus } from './migration-status.ts';
import type { QmpClient } from './qmp.ts';
import { SharedBlockAddress } from './shared-block-address.ts';
import type { StateOutlet } from './state-outlet.ts';

/** A VM with the usual devices has 0.1–5 MiB; a large frame buffer adds 16–256 MiB. */
export const MAX_DEVICE_STATE_BYTES: number = 2 ** 30;

export interface DeviceStateSave {
  /** QEMU is about to stop the VM: a vCPU that is slowed keeps it waiting from now on. Never rejects. */
  readonly stopping: Promise<void>;
  /**
   * The VM stands still, and no device's state is written yet. By QEMU's STOP event, Unix milliseconds; undefined for a
   * VM that did not run. Rejects as `done` does.
   */
  readonly stopped: Promise<{ readonly stoppedAtMs: number | undefined }>;
  /** QEMU goes on to the devices; after `stopped`. */
  proceed(): Promise<void>;
  /** In order; ends when QEMU has written all. Throws GW_QEMU_STATE with QEMU's own words, or the signal's reason. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Settles with the end of `chunks`; never rejects unless they throw. */
  readonly done: Promise<{ readonly bytes: number; readonly savedMs: number }>;
}

/** QEMU starts to send within a millisecond; without a sign of life for this long it never will. */
const SAVE_TIMEOUT_MS = 60_000;
const CANCEL_TIMEOUT_MS = 5_000;
const CANCEL_POLL_MS = 10;
/** What it writes while the VM runs takes milliseconds, and fails at once when nobody reads it. */
const PAUSE_TIMEOUT_MS = 1_000;

export interface SaveOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /** The memory backends of the VM's ivshmem devices (`listSharingDevices`); default none. */
  readonly sharedBackends?: readonly string[];
}

/**
 * QEMU is asked at once and begins; `chunks` must be read in any case, because their reader cleans up.
 *
 * @param outlet - closed at the end
 */
export function saveDeviceState(qmp: QmpClient, outlet: StateOutlet, options: SaveOptions = {}): DeviceStateSave {
  const { promise: done, resolve, reject } = Promise.withResolvers<{ bytes: number; savedMs: number }>();
  done.catch(() => undefined);
  const timeout = AbortSignal.timeout(options.timeoutMs ?? SAVE_TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  const startedMs = performance.now();
  const status = new MigrationStatus(qmp);
  const asked = qmp.execute('migrate', { uri: `unix:${outlet.path}` }, { signal });
  // Once the reader has given up, nothing more is heard of QEMU's status.
  const stopped = Promise.race([waitForStop(qmp, asked, status, signal), done.then(never)]);
  stopped.catch(() => undefined);
  const { sharedBackends = [] } = options;
  const addresses = sharedBackends.length === 0 ? undefined : new SharedBlockAddress(sharedBackends);
  async function* read(): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    let whole = false;
    try {
      for await (const chunk of receive(asked, status, outlet, signal)) {
        bytes += chunk.length;
        if (bytes > MAX_DEVICE_STATE_BYTES) throw saveError(`more than ${MAX_DEVICE_STATE_BYTES} bytes came`);
        const ready = addresses?.push(chunk) ?? chunk;
        if (ready.length > 0) yield ready;
      }
      addresses?.end();
      whole = true;
      resolve({ bytes, savedMs: performance.now() - startedMs });
    } catch (error) {
      const failure = explainFailure(error, timeout, options.signal);
      reject(failure);
      throw failure;
    } finally {
      if (!whole) {
        reject(saveError('the reader stopped before the end'));
        await cancelMigration(qmp);
      }
    }
  }
  return {
    stopping: status.active,
    stopped,
    proceed: async () => {
      await qmp.execute('migrate-continue', { state: 'pre-switchover' }, { signal });
    },
    chunks: read(),
    done,
  };
}

async function waitForStop(
  qmp: QmpClient,
  asked: Promise<unknown>,
  status: MigrationStatus,
  signal: AbortSignal,
): Promise<{ stoppedAtMs: number | undefined }> {
  let stoppedAtMs: number | undefined;
  const removeListener = qmp.onEvent((event) => {
    if (event.event === 'STOP') stoppedAtMs = event.timestampMs;
  });
  try {
    await asked;
    status.started();
    await Promise.race([status.preSwitchover, failed(status), aborted(signal)]);
    return { stoppedAtMs };
  } finally {
    removeListener();
  }
}

/** After this QEMU has no migration under way; a QEMU that has gone has none either. */
export async function cancelMigration(qmp: QmpClient): Promise<void> {
  const deadlineMs = performance.now() + CANCEL_TIMEOUT_MS;
  try {
    // QEMU looks for a cancel, then marks that it pauses, and one in between is waited for without end (seen with 7.2).
    const pausedByMs = performance.now() + PAUSE_TIMEOUT_MS;
    while ((await isSending(qmp)) && performance.now() < pausedByMs) await delay(CANCEL_POLL_MS);
    await qmp.execute('migrate_cancel');
    while ((await isMigrating(qmp)) && performance.now() < deadlineMs) await delay(CANCEL_POLL_MS);
  } catch (error) {
    if (asGodwitError(error).code !== 'GW_QMP_CLOSED') throw error;
  }
}

async function* receive(
  asked: Promise<unknown>,
  status: MigrationStatus,
  outlet: StateOutlet,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    await asked;
    const socket = await Promise.race([outlet.connection, failed(status), aborted(signal)]);
    for await (const chunk of withSignal(socket, signal)) yield chunk;
    const end = await Promise.race([status.ended, aborted(signal)]);
    if (end.status !== 'completed') throw saveError(end.errorDescription ?? `QEMU says ${end.status}`);
  } finally {
    status[Symbol.dispose]();
    outlet[Symbol.dispose]();
  }
}

async function* withSignal(socket: Socket, signal: AbortSignal): AsyncGenerator<Buffer> {
  const onAbort = (): void => {
    socket.destroy(asError(signal.reason));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    for await (const chunk of socket) yield chunk as Buffer;
  } finally {
    signal.removeEventListener('abort', onAbort);
    socket.destroy();
  }
}

/**
 * Settles only when QEMU failed. A small state fits into the socket's buffer, so that QEMU may have completed before
 * the connection is accepted here; it is in the queue then and comes.
 */
async function failed(status: MigrationStatus): Promise<never> {
  const end = await status.ended;
  if (end.status !== 'completed') throw saveError(end.errorDescription ?? `QEMU says ${end.status} and sent nothing`);
  return await never();
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function explainFailure(error: unknown, timeout: AbortSignal, cancelled: AbortSignal | undefined): unknown {
  if (cancelled?.aborted) return cancelled.reason;
  if (timeout.aborted) return saveError('it took too long');
  const known = asGodwitError(error);
  if (known.code === 'GW_QEMU_STATE') return known;
  if (known.code === 'GW_QMP_CLOSED') return saveError('QEMU has ended', error);
  return saveError(known.code === 'GW_QMP_ERROR' ? String(known.details['reason']) : known.message, error);
}

function saveError(reason: string, cause?: unknown): GodwitError {
  return new GodwitError('GW_QEMU_STATE', { action: 'save', reason }, cause === undefined ? undefined : { cause });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
