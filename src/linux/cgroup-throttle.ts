/**
 * Slows vCPU threads through the CPU bandwidth of control groups.
 *
 * Owns: the groups, the lease and its timer. Must hold: what it reports is what holds. When the lease has run out (this
 * thread hung), the VM is at full speed and `percent` is 0 until the next `set`, which starts anew.
 */
import type { CpuController } from './cgroup.ts';
import { CpuThrottleGroups } from './cpu-throttle-groups.ts';
import { isAlive, type ProcessIdentity } from './process.ts';
import { RENEWAL_MS, ThrottleLease } from './throttle-lease.ts';
import { clampSlowdown, type VcpuThrottle } from './vcpu-throttle.ts';

interface Hold {
  readonly groups: CpuThrottleGroups;
  readonly lease: ThrottleLease;
  readonly timer: NodeJS.Timeout;
}

export class CgroupThrottle implements VcpuThrottle {
  readonly #controller: CpuController;
  readonly #qemu: ProcessIdentity;
  readonly #tids: readonly number[];
  readonly #vm: string;
  #hold: Hold | undefined;
  #percent = 0;
  #released = false;

  constructor(controller: CpuController, qemu: ProcessIdentity, tids: readonly number[], vm: string) {
    this.#controller = controller;
    this.#qemu = qemu;
    this.#tids = tids;
    this.#vm = vm;
    this.#hold = this.#take();
  }

  get mechanism(): 'cgroup-v1' | 'cgroup-v2' {
    return this.#controller.mechanism;
  }

  get percent(): number {
    return this.#percent;
  }

  set(slowdownPercent: number): void {
    if (this.#released) return;
    if (this.#hold?.lease.renew() === false) this.#letGo();
    if (!isAlive(this.#qemu)) {
      this.release();
      return;
    }
    const percent = clampSlowdown(slowdownPercent);
    this.#hold ??= this.#take();
    try {
      this.#hold.groups.limit(100 - percent);
    } catch (error) {
      this.#letGo();
      throw error;
    }
    this.#percent = percent;
  }

  release(): void {
    this.#released = true;
    this.#letGo();
  }

  [Symbol.dispose](): void {
    this.release();
  }

  #take(): Hold {
    const groups = new CpuThrottleGroups(this.#controller, this.#qemu.pid, this.#tids, this.#vm);
    try {
      // Shows at once whether limits can be written.
      groups.limit(100);
      const lease = new ThrottleLease(this.#controller, groups.directories);
      const timer = setInterval(() => this.#renew(), RENEWAL_MS);
      timer.unref();
      return { groups, lease, timer };
    } catch (error) {
      groups.remove();
      throw error;
    }
  }

  #renew(): void {
    if (!isAlive(this.#qemu)) this.release();
    else if (this.#hold?.lease.renew() === false) this.#letGo();
  }

  #letGo(): void {
    const hold = this.#hold;
    this.#hold = undefined;
    this.#percent = 0;
    if (hold === undefined) return;
    clearInterval(hold.timer);
    // Also when the lease has run out: the watchdog may have been killed before it could act.
    hold.groups.remove();
    hold.lease.end();
  }
}
