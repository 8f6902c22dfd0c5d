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

const PERCENTS = [20, 50, 80];
/** At least this part of what was asked for is taken … */
const TAKEN_PART = 0.6;
/** … and of what was to be left at least a fifth. */
const LEFT_PART = 0.2;
/** In points of the guest's work at full speed. */
const TOLERANCE = 10;
/** At full speed and slowed, so that whatever else the machine does meets both. */
const TURNS = 5;
const MAX_TURNS = 15;
/** A turn is calm when other programs can have cost the slowed guest no more than this. */
const CALM_POINTS = 3;
/** Ten periods of the mechanisms. */
const SLICE_MS = 200;
/** Three periods: the first may be a part, or still have the budget of before. */
const SETTLE_MS = 60;

/** In percent of the guest's full speed; what it lost to the slowdown lies between the two. */
interface Turn {
  readonly mostLost: number;
  readonly leastLost: number;
}

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

    /** Until enough turns were calm; on a machine that is never calm those that were disturbed least. */
    async function takeTurns(throttle: VcpuThrottle, percent: number): Promise<readonly Turn[]> {
      const turns: Turn[] = [];
      while (turns.length < MAX_TURNS && turns.filter(isCalm).length < TURNS) {
        const full = await measureAt(throttle, 0);
        const slowed = await measureAt(throttle, percent);
        turns.push({ mostLost: lostPercent(full, slowed.done), leastLost: lostPercent(full, slowed.possible) });
      }
      return turns.sort((a, b) => width(a) - width(b)).slice(0, TURNS);
    }

    const cases = Object.entries(MECHANISMS).flatMap(([means, mechanisms]) =>
      PERCENTS.map((percent) => ({ means, mechanisms, percent })),
    );

    // Where others take the CPU all the time, even turns meet different moments: then once more.
    test.each(cases)('loses $percent % of its work by $means, and has it back', { retry: 2 }, async (variant) => {
      const { mechanisms, percent } = variant;
      using throttle = openVcpuThrottle({ pid: vm.pid, tids: [tid], name: 'throttled', mechanisms });
      throttle.set(percent);
      await waitUntil('the mechanism has taken hold', () => listMarks(vm.pid).length > 0);
      const turns = await takeTurns(throttle, percent);
      expect(median(turns.map(({ mostLost }) => mostLost))).toBeGreaterThan(TAKEN_PART * percent);
      const left = 100 - median(turns.map(({ leastLost }) => leastLost));
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

/** Of what the guest does on a machine of its own. */
function lostPercent(full: WorkSlice, pagesPerSecond: number): number {
  return 100 * (1 - pagesPerSecond / full.possible);
}

function width({ mostLost, leastLost }: Turn): number {
  return mostLost - leastLost;
}

function isCalm(turn: Turn): boolean {
  return width(turn) < CALM_POINTS;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
