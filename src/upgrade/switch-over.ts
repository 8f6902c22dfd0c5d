/**
 * The moment in which a VM changes from one QEMU to the other: stop, state, commit, resume.
 *
 * Owns: the order. Must hold: the new QEMU loads the state of the devices when the old one has written all of it, because
 * saving writes guest memory and loading reads it; nothing is given up after `commit`, and before it nothing is decided.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import type { DeviceStateLoad } from '../qemu/device-state-load.ts';
import type { DeviceStateSave } from '../qemu/device-state-save.ts';
import { advanceGuestClock } from '../qemu/guest-clock.ts';
import type { Accelerator } from '../qemu/spec.ts';

/** From the load to the first instruction, typically: loading, the journal, `cont`. */
const EXPECTED_REST_MS = 8;

export interface SwitchOverPort {
  /** Begun; the old QEMU stops the VM as soon as it can. */
  readonly save: DeviceStateSave;
  /** The new QEMU listens. */
  readonly load: DeviceStateLoad;
  readonly accel: Accelerator;
  /** A VM that its user has paused stays so. */
  readonly wasRunning: boolean;
  /** Once aborted, nothing is committed. */
  readonly signal: AbortSignal;
  /** From here on the VM is the new QEMU's. */
  commit(): Promise<void>;
  /**
   * Ends the old QEMU; absent: it may end later, because nobody but godwit could let the VM run on in it.
   * @throws when it does not end: the VM is not resumed
   */
  endOld?(): Promise<void>;
  /** Lets it run there; undefined: the guest, or the new QEMU, has ended. */
  resume(): Promise<{ readonly resumedAtMs: number } | undefined>;
}

export interface SwitchOverTimes {
  readonly stateBytes: number;
  /** By QEMU's events STOP and RESUME; null for a VM that did not run, or does not any more. */
  readonly downtimeMs: number | null;
  /** Parts of it. */
  readonly saveMs: number;
  readonly loadMs: number;
  readonly commitMs: number;
  readonly resumeMs: number;
}

export async function switchOver(port: SwitchOverPort): Promise<SwitchOverTimes> {
  const { save, load, signal } = port;
  const { devices, stoppedAtMs, stateBytes } = await takeState(save, load);
  const savedAtMs = SYSTEM_CLOCK.nowMs();
  const stoodMs = stoppedAtMs === undefined ? 0 : SYSTEM_CLOCK.wallMs() - stoppedAtMs;
  if (stoppedAtMs !== undefined) advanceGuestClock(devices, port.accel, stoodMs + EXPECTED_REST_MS);
  await load.write(devices);
  await load.end();
  await load.loaded;
  const loadedAtMs = SYSTEM_CLOCK.nowMs();
  signal.throwIfAborted();
  await port.commit();
  const committedAtMs = SYSTEM_CLOCK.nowMs();
  await port.endOld?.();
  const resumed = port.wasRunning ? await port.resume() : undefined;
  return {
    stateBytes,
    downtimeMs: resumed && stoppedAtMs !== undefined ? resumed.resumedAtMs - stoppedAtMs : null,
    saveMs: stoodMs,
    loadMs: loadedAtMs - savedAtMs,
    commitMs: committedAtMs - loadedAtMs,
    resumeMs: SYSTEM_CLOCK.nowMs() - committedAtMs,
  };
}

/** What comes before the stop goes on at once: it is no device's state, and is loaded while the VM runs. */
async function takeState(
  save: DeviceStateSave,
  load: DeviceStateLoad,
): Promise<{ devices: Buffer; stoppedAtMs: number | undefined; stateBytes: number }> {
  const held: Uint8Array[] = [];
  let isStopped = false;
  const stopping = save.stopped.then(async (stopped) => {
    isStopped = true;
    await save.proceed();
    return stopped;
  });
  // If something else fails first, nobody hears of it.
  stopping.catch(() => undefined);
  for await (const chunk of save.chunks) {
    if (isStopped) held.push(chunk);
    else await load.write(chunk);
  }
  const { stoppedAtMs } = await stopping;
  const { bytes: stateBytes } = await save.done;
  return { devices: Buffer.concat(held), stoppedAtMs, stateBytes };
}
