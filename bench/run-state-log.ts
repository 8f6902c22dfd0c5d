/**
 * When a QEMU's VM stopped and when it ran, by QEMU's own clock.
 *
 * Every QEMU of the bench traces its run state to its log (see qemu-wrapper.ts), whoever started it and whoever holds
 * its monitor. The line is written beside the events STOP and RESUME (softmmu/cpus.c do_vm_stop, vm_prepare_start).
 */
import { readFileSync } from 'node:fs';

export interface RunStateChange {
  /** Unix milliseconds, with fractions. */
  readonly atMs: number;
  readonly from: string;
  readonly to: string;
}

const LINE = /^\d+@(\d+\.\d+):runstate_set current_run_state \d+ \(([\w-]+)\) new_state \d+ \(([\w-]+)\)/gm;

export function readRunStates(logPath: string): RunStateChange[] {
  const changes = readFileSync(logPath, 'utf8').matchAll(LINE);
  return [...changes].map(([, seconds, from, to]) => ({ atMs: Number(seconds) * 1000, from: from!, to: to! }));
}

/** The last time the VM stopped running; undefined when it never did. */
export function stoppedAt(changes: readonly RunStateChange[]): number | undefined {
  return changes.findLast(({ from, to }) => from === 'running' && to !== 'running')?.atMs;
}

/** The first time the VM ran. */
export function resumedAt(changes: readonly RunStateChange[]): number | undefined {
  return changes.find(({ to }) => to === 'running')?.atMs;
}
