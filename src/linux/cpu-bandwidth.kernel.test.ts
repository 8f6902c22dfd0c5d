import { existsSync, readdirSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BusyProcess } from '../../test/support/busy-process.ts';
import { requireCapability } from '../../test/support/capability.ts';
import { openVcpuThrottle, releaseStaleThrottle, type VcpuThrottle } from './cpu-bandwidth.ts';
import { identifyProcess, waitForExit } from './process.ts';

const CPU_ROOT = '/sys/fs/cgroup/cpu';
let busy: BusyProcess;
let throttle: VcpuThrottle | undefined;

afterEach(() => {
  throttle?.release();
  busy[Symbol.dispose]();
});

function leftovers(name: string): string[] {
  return existsSync(CPU_ROOT) ? readdirSync(CPU_ROOT).filter((entry) => entry.startsWith(`godwit@${name}@`)) : [];
}

/** In one of three looks: what the machine's own host takes from it is seen nowhere. */
async function expectShare(tid: number, percent: number): Promise<void> {
  await expect
    .poll(
      async () => {
        const { ran, allowed } = await busy.watch(tid);
        return ran <= percent + 10 && allowed >= percent - 10 ? 'as set' : { ran, allowed };
      },
      { timeout: 5000, interval: 1 },
    )
    .toBe('as set');
}

requireCapability('kernel', 'cgroupV1')('with one busy thread', () => {
  beforeEach(async () => {
    busy = await BusyProcess.start();
  });

  test.each([
    ['cgroup-v1', 50],
    ['cgroup-v1', 99],
    ['ptrace', 50],
    ['ptrace', 99],
  ] as const)('%s slows it by %i percent', async (mechanism, percent) => {
    throttle = openVcpuThrottle({ pid: busy.pid, tids: busy.tids, name: 'accuracy', mechanisms: [mechanism] });
    throttle.set(percent);
    expect([throttle.mechanism, throttle.percent]).toEqual([mechanism, percent]);
    // Until a tracer has started.
    await busy.watch(busy.tids[0]!, 400);
    await expectShare(busy.tids[0]!, 100 - percent);
  });

  test('the default is the control group, a fractional slowdown is allowed, and the range is 0 to 99', () => {
    throttle = openVcpuThrottle({ pid: busy.pid, tids: busy.tids, name: 'range' });
    expect(throttle.mechanism).toBe('cgroup-v1');
    expect(throttle.percent).toBe(0);
    for (const [asked, held] of [
      [33.3, 33.3],
      [150, 99],
      [-5, 0],
      [Number.NaN, 0],
    ] as const) {
      throttle.set(asked);
      expect(throttle.percent).toBe(held);
    }
  });

  test('only the given thread is moved, and release brings it back and leaves nothing', async () => {
    const [tid] = busy.tids as [number];
    const origin = busy.cpuGroup(tid);
    throttle = openVcpuThrottle({ pid: busy.pid, tids: [tid, tid], name: 'moved' });
    throttle.set(99);
    expect(busy.cpuGroup(tid)).toMatch(/\/godwit@moved@[\d.]+\/vcpu-\d+$/);
    expect(busy.cpuGroup(busy.pid)).toBe(origin);
    throttle.release();
    throttle.release();
    throttle.set(50);
    expect(throttle.percent).toBe(0);
    expect(busy.cpuGroup(tid)).toBe(origin);
    expect(leftovers('moved')).toEqual([]);
    await expectShare(tid, 100);
  });

  test('ptrace lets the thread run as soon as release returns', async () => {
    throttle = openVcpuThrottle({ pid: busy.pid, tids: busy.tids, name: 'released', mechanisms: ['ptrace'] });
    throttle.set(99);
    await busy.watch(busy.tids[0]!, 500);
    throttle.release();
    await expectShare(busy.tids[0]!, 100);
  });

  test.each(['cgroup-v1', 'ptrace'] as const)('%s is over when the process ends', async (mechanism) => {
    throttle = openVcpuThrottle({ pid: busy.pid, tids: busy.tids, name: 'ended', mechanisms: [mechanism] });
    throttle.set(50);
    const identity = identifyProcess(busy.pid)!;
    busy.kill();
    await waitForExit(identity);
    await expect.poll(() => leftovers('ended'), { timeout: 2000 }).toEqual([]);
    throttle.set(80);
    expect(throttle.percent).toBe(0);
    throttle.release();
  });

  test('a second throttle of the same thread is refused while the first lives', () => {
    throttle = openVcpuThrottle({ pid: busy.pid, tids: busy.tids, name: 'twice' });
    const second = () => openVcpuThrottle({ pid: busy.pid, tids: busy.tids, name: 'twice' });
    expect(second).toThrow(expect.objectContaining({ code: 'GW_CONFLICT' }));
    throttle.release();
    second().release();
  });

  test('releaseStaleThrottle leaves the throttle of a living process alone', () => {
    throttle = openVcpuThrottle({ pid: busy.pid, tids: busy.tids, name: 'living' });
    throttle.set(50);
    releaseStaleThrottle('living');
    expect(leftovers('living')).toHaveLength(1);
  });

  test('a thread that does not exist, and a process that has ended, are refused', () => {
    const missing = () => openVcpuThrottle({ pid: busy.pid, tids: [4_194_000], name: 'missing' });
    expect(missing).toThrow(expect.objectContaining({ code: 'GW_SYS_PROCESS_GONE' }));
    const ended = () => openVcpuThrottle({ pid: 4_194_000, tids: [4_194_000], name: 'missing' });
    expect(ended).toThrow(expect.objectContaining({ code: 'GW_SYS_PROCESS_GONE' }));
    expect(leftovers('missing')).toEqual([]);
  });

  test('when no mechanism is left, the reason of each is told', () => {
    const open = () => openVcpuThrottle({ pid: busy.pid, tids: busy.tids, name: 'none', mechanisms: ['cgroup-v2'] });
    expect(open).toThrow(/cgroup-v2: .*cpu controller/);
  });
});

requireCapability('kernel', 'cgroupV1')('with two vCPU threads', () => {
  beforeEach(async () => {
    busy = await BusyProcess.start(2);
  });

  test('each is slowed by its own share', async () => {
    throttle = openVcpuThrottle({ pid: busy.pid, tids: busy.tids, name: 'both' });
    throttle.set(80);
    await Promise.all(busy.tids.map((tid) => expectShare(tid, 20)));
  });

  test('a busy one is slowed even when the other idles', async () => {
    // The main thread idles and stands for the idle vCPU.
    throttle = openVcpuThrottle({ pid: busy.pid, tids: [busy.tids[0]!, busy.pid], name: 'one' });
    throttle.set(60);
    await expectShare(busy.tids[0]!, 40);
  });
});
