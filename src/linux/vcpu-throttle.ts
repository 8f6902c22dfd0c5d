/**
 * What every mechanism that slows vCPUs offers.
 *
 * Owns: the interface, and the range of a slowdown.
 */

/** From outside, whatever the VM is doing. */
export type ThrottleMechanism = 'cgroup-v1' | 'cgroup-v2' | 'ptrace';

export interface VcpuThrottle extends Disposable {
  readonly mechanism: ThrottleMechanism | 'write-faults';
  /** By how much the vCPUs are slowed now, 0 to 99; 0 after `release`, and when the lease has run out. */
  readonly percent: number;
  /**
   * Takes this share of each vCPU's time away (held to 0…99). 0 is full speed, ready to slow again. Does nothing after
   * `release`. When it throws, the VM is at full speed.
   */
  set(slowdownPercent: number): void;
  /** Full speed, everything as it was before opening. Synchronous, idempotent, never throws. */
  release(): void;
}

/** More than this is not slowing but stopping: a guest's own watchdogs would fire. */
const MAX_SLOWDOWN_PERCENT = 99;

export function clampSlowdown(percent: number): number {
  return Number.isFinite(percent) ? Math.min(Math.max(percent, 0), MAX_SLOWDOWN_PERCENT) : 0;
}
