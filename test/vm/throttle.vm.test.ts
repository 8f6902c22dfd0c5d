/**
 * A slowdown takes its part of a guest's work, and nothing once it is over. How exactly is judged by the bench
 * (`throttle/20`, `50`, `80`): where others have the CPUs meanwhile, no test can tell.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openVcpuThrottle, type ThrottleMechanism, type VcpuThrottle } from '../../src/linux/cpu-bandwidth.ts';
import { type Capability, requireCapability } from '../support/capability.ts';
import { checkLeaks, listProcesses } from '../support/leak-check.ts';
import { startTinyVm, type TinyVm } from '../support/tiny-vm.ts';
import { listMarks } from '../support/traces.ts';
import { waitUntil } from '../support/wait-until.ts';
import { measureSlice, type WorkSlice } from '../support/work-slice.ts';

checkLeaks();

const PERCENTS = [80];
/** At least this part of what was asked for is taken … */
const TAKEN_PART = 0.4;
/** … and of what was to be left at least a fifth. */
const LEFT_PART = 0.2;
/** In points of the guest's work at full speed. */
const TOLERANCE = 10;
/** At full speed and slowed, so that whatever else the machine does meets both. */
const TURNS = 8;
/** Ten periods of the mechanisms. */
const SLICE_MS = 200;
/** Three periods: the first may be a part, or still have the budget of before. */
const SETTLE_MS = 60;

const MECHANISMS: Readonly<Record<string, readonly ThrottleMechanism[]>> = {
  'control groups': ['cgroup-v1', 'cgroup-v2'],
  ptrace: ['ptrace'],
};

function describeThrottle(accel: 'tcg' | 'kvm', ...needed: Capability[]): void {
  requireCapability(...needed)(`a guest under ${accel}`, () => {
    let vm: TinyVm;
    let tid: number;

    beforeAll(async () => {
      vm = await startTinyVm({ accel });
      const [vcpu] = await vm.qmp.execute<{ 'thread-id': number }[]>('query-cpus-fast');
      tid = vcpu!['thread-id'];
    });
    afterAll(() => vm?.[Symbol.asyncDispose]());

    const measure = (): Promise<WorkSlice> => measureSlice(vm.guest, { pid: vm.pid, tid }, SLICE_MS);

    async function measureAt(throttle: VcpuThrottle, percent: number): Promise<WorkSlice> {
      throttle.set(percent);
      await delay(SETTLE_MS);
      return await measure();
    }

    /**
     * What it does when slowed, in percent of its full speed: of both the best slice, because whatever else the machine
     * does only takes from them.
     */
    async function leftPercent(throttle: VcpuThrottle, percent: number): Promise<number> {
      let [full, slowed] = [0, 0];
      for (let turn = 0; turn < TURNS; turn++) {
        full = Math.max(full, (await measureAt(throttle, 0)).done);
        slowed = Math.max(slowed, (await measureAt(throttle, percent)).done);
      }
      return (100 * slowed) / full;
    }

    const cases = Object.entries(MECHANISMS).flatMap(([means, mechanisms]) =>
      PERCENTS.map((percent) => ({ means, mechanisms, percent })),
    );

    // Where others take the CPU all the time even the best slices can be bad ones: then once more.
    test.each(cases)('loses $percent % of its work by $means, and has it back', { retry: 2 }, async (variant) => {
      const { mechanisms, percent } = variant;
      using throttle = openVcpuThrottle({ pid: vm.pid, tids: [tid], name: 'throttled', mechanisms });
      throttle.set(percent);
      await waitUntil('the mechanism has taken hold', () => listMarks(vm.pid).length > 0);
      const left = await leftPercent(throttle, percent);
      expect(left).toBeLessThan(100 - TAKEN_PART * percent);
      expect(left).toBeGreaterThan(LEFT_PART * (100 - percent));

      throttle.release();
      expect(throttle.percent).toBe(0);
      expect(listMarks(vm.pid)).toEqual([]);
      const after: WorkSlice[] = [];
      for (let slice = 0; slice < TURNS; slice++) after.push(await measure());
      expect(median(after.map(({ freePercent }) => freePercent))).toBeGreaterThan(100 - TOLERANCE);
      // Neither a watchdog nor a tracer.
      await waitUntil('only QEMU is left', () => listProcesses().length === 1);
    });
  });
}

describeThrottle('tcg', 'vm');
describeThrottle('kvm', 'vm', 'kvm');

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
