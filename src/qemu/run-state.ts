/**
 * Resuming, announcing and ending a VM, with QEMU's own times.
 *
 * The STOP event is stamped when every vCPU has stopped and before the disks are drained (softmmu/cpus.c,
 * do_vm_stop); RESUME just before the vCPUs are started (vm_start). So downtime is RESUME minus STOP, as near as QEMU
 * lets us see.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { GodwitError, hasCode } from '../base/errors.ts';
import type { ProcessIdentity } from '../linux/process.ts';
import { signalProcess, waitForExit } from '../linux/process.ts';
import type { QmpClient, QmpEvent, WaitOptions } from './qmp.ts';

/** Time in which QEMU ends after `quit` before it is killed: it flushes its disks. */
const QUIT_TIMEOUT_MS = 5_000;
const TERMINATE_TIMEOUT_MS = 2_000;
/** QEMU ends a save that was cancelled within milliseconds, unless a device takes its time; a guest stands still. */
const SAVE_END_TIMEOUT_MS = 10_000;
const SAVE_END_POLL_MS = 10;
/** The guest has ended, and QEMU refuses to go on with it. */
const ENDED_STATES: ReadonlySet<string> = new Set(['shutdown', 'internal-error', 'guest-panicked']);

/**
 * Resumes the vCPUs. A VM that runs already goes on. While a save of the device state is being broken off QEMU refuses;
 * then the VM is resumed as soon as that has ended.
 */
export async function contVm(qmp: QmpClient, options: WaitOptions = {}): Promise<{ resumedAtMs: number }> {
  const deadlineMs = performance.now() + (options.timeoutMs ?? SAVE_END_TIMEOUT_MS);
  // Another try is worth it also when the save ended between QEMU's refusal and the question.
  for (let wasSaving = true; ; ) {
    try {
      const atMs = await executeAndCatch(qmp, 'cont', 'RESUME', options);
      return { resumedAtMs: atMs ?? Date.now() };
    } catch (error) {
      if (!hasCode(error, 'GW_QMP_ERROR')) throw error;
      const { status } = await queryRunState(qmp);
      if (ENDED_STATES.has(status)) throw new GodwitError('GW_QEMU_STATE', { action: 'continue with', reason: status });
      if (!wasSaving || performance.now() >= deadlineMs) throw error;
      wasSaving = status === 'finish-migrate';
      if (wasSaving) await delay(SAVE_END_POLL_MS);
    }
  }
}

/** Tells the network where the VM is now: five packets for every network device, over about a second. */
export async function announce(qmp: QmpClient): Promise<void> {
  await qmp.execute('announce-self', { initial: 50, max: 550, rounds: 5, step: 100 });
}

export async function queryRunState(qmp: QmpClient): Promise<{ status: string; running: boolean }> {
  return await qmp.execute<{ status: string; running: boolean }>('query-status');
}

/** Ends QEMU: asks, then SIGTERM, then SIGKILL. True when it is gone. */
export async function quitQemu(qmp: QmpClient | undefined, identity: ProcessIdentity): Promise<boolean> {
  // QEMU may close the connection before it answers; that it is gone is what counts, and that is looked at below.
  const asked = await qmp?.execute('quit', undefined, { timeoutMs: QUIT_TIMEOUT_MS }).then(
    () => true,
    () => false,
  );
  qmp?.close();
  if (asked && (await waitForExit(identity, { timeoutMs: QUIT_TIMEOUT_MS }))) return true;
  signalProcess(identity, 'SIGTERM');
  if (await waitForExit(identity, { timeoutMs: TERMINATE_TIMEOUT_MS })) return true;
  signalProcess(identity, 'SIGKILL');
  return await waitForExit(identity, { timeoutMs: QUIT_TIMEOUT_MS });
}

/** QEMU sends the event before the command's answer; undefined when there was nothing to change. */
async function executeAndCatch(
  qmp: QmpClient,
  command: string,
  event: string,
  options: WaitOptions,
): Promise<number | undefined> {
  const seen: QmpEvent[] = [];
  const remove = qmp.onEvent((received) => {
    if (received.event === event) seen.push(received);
  });
  try {
    await qmp.execute(command, undefined, options);
    return seen.at(-1)?.timestampMs;
  } finally {
    remove();
  }
}
