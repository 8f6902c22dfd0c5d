/**
 * Slows the vCPUs of a VM from outside, without QEMU or the guest taking part.
 *
 * Owns: the choice of the mechanism: control groups where the cpu controller can be written (version 1, then 2), else
 * ptrace. Must hold: only vCPU threads are slowed, so QMP and device emulation stay quick; whatever happens to this
 * process, the VM is back at full speed within two seconds (throttle-lease.ts, ptrace-throttle-child.ts).
 * Before QMP `stop` call `set(0)` (0.2 ms), or it waits for a vCPU that stands still (up to 28 ms measured); `release`
 * moves threads, 4 ms for each, and can come after the stop.
 */
import { explain, GodwitError, hasCode } from '../base/errors.ts';
import { findCpuControllers } from './cgroup.ts';
import { CgroupThrottle } from './cgroup-throttle.ts';
import { findStaleGroups, removeThrottleGroup } from './cpu-throttle-groups.ts';
import { identifyProcess } from './process.ts';
import { PtraceThrottle } from './ptrace-throttle.ts';
import type { ThrottleMechanism, VcpuThrottle } from './vcpu-throttle.ts';

export type { ThrottleMechanism, VcpuThrottle } from './vcpu-throttle.ts';

export interface VcpuThrottleOptions {
  /** QEMU. */
  readonly pid: number;
  /** Its vCPU threads, as `query-cpus-fast` gives them; with one thread for all vCPUs it may appear several times. */
  readonly tids: readonly number[];
  /** Of the VM. */
  readonly name: string;
  /** Tried in this order; all by default. */
  readonly mechanisms?: readonly ThrottleMechanism[];
}

const MECHANISMS: readonly ThrottleMechanism[] = ['cgroup-v1', 'cgroup-v2', 'ptrace'];

/**
 * Prepares to slow a VM; it runs at full speed until `set`. The calling thread renews the lease by a timer, so it must
 * come back to its event loop (or call `set`) at least once a second.
 *
 * Throws GW_SYS_PROCESS_GONE; GW_CONFLICT when another living process slows it; GW_SYS_UNSUPPORTED with what stopped
 * each mechanism.
 */
export function openVcpuThrottle(options: VcpuThrottleOptions): VcpuThrottle {
  const qemu = identifyProcess(options.pid);
  if (qemu === undefined) throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: options.pid });
  const tids = [...new Set(options.tids)];
  const controllers = findCpuControllers();
  const reasons: string[] = [];
  for (const mechanism of options.mechanisms ?? MECHANISMS) {
    try {
      if (mechanism === 'ptrace') return new PtraceThrottle(qemu, tids);
      const controller = controllers.find((candidate) => candidate.mechanism === mechanism);
      if (controller !== undefined) return new CgroupThrottle(controller, qemu, tids, options.name);
      reasons.push(`${mechanism}: no cpu controller is mounted`);
    } catch (error) {
      if (hasCode(error, 'GW_SYS_PROCESS_GONE') || hasCode(error, 'GW_CONFLICT')) throw error;
      const isTold = error instanceof GodwitError && error.code === 'GW_SYS_UNSUPPORTED';
      reasons.push(`${mechanism}: ${isTold ? error.details['reason'] : explain(error)}`);
    }
  }
  throw new GodwitError('GW_SYS_UNSUPPORTED', { feature: 'vCPU throttling', reason: reasons.join('; ') });
}

/**
 * Removes what a daemon that is no more left behind for a VM, should its watchdog have been killed with it. Throttles of
 * living processes stay. For the start of a daemon, once for each VM it finds.
 */
export function releaseStaleThrottle(name: string): void {
  for (const controller of findCpuControllers()) {
    for (const directory of findStaleGroups(controller, name)) removeThrottleGroup(controller, directory);
  }
}
