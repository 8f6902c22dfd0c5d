import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { randomFrom } from '../base/random.ts';
import type { SampledVm, WindowOutcome } from '../migration/dirty-sampler.ts';
import { DirtySampling } from './dirty-sampling.ts';
import { openLogger } from './logger.ts';
import type { Vm } from './vm.ts';

const EVERY_MS = 60_000;
const POINTS = [100, 300, 1000, 3000].map((ms) => ({ ms, pages: ms }));

let state: string;

beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'godwit-sampling-'));
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(state, { recursive: true, force: true });
});

interface Window {
  readonly vm: string;
  settle(outcome: WindowOutcome): void;
}

/** VMs that are looked at when the test says so. @param random - by default looks are as far apart as on average */
function trial(names: readonly string[], random: () => number = () => 0.5, everyMs = EVERY_MS) {
  const windows: Window[] = [];
  const ends: string[] = [];
  let hangs = false;
  const vms = names.map((name) => ({ name, isAtWork: true, hasEnded: false, isEnding: false, record: { name } }));
  const sampler = {
    begin: ({ qemu }: SampledVm) => {
      const vm = names[qemu.pid]!;
      const { promise, resolve } = Promise.withResolvers<WindowOutcome>();
      windows.push({ vm, settle: resolve });
      const end = async (): Promise<void> => {
        ends.push(vm);
        if (!hangs) resolve({ points: POINTS.slice(0, 1) });
        await promise;
      };
      return { ended: promise, end };
    },
    [Symbol.dispose]: () => void ends.push('all'),
  };
  const sampling = new DirtySampling(
    {
      ...{ stateDirectory: state, everyMs, keepMs: 3_600_000 },
      log: openLogger({ level: 'silent', format: 'json', name: 'a' }),
      vms: () => vms as unknown as Vm[],
    },
    {
      openSampler: () => sampler,
      locate: async ({ name }) => ({ qemu: { pid: names.indexOf(name), startTicks: 0 }, regions: [] }),
      random,
    },
  );
  const pass = async (ms: number): Promise<void> => {
    // What was settled is taken first.
    for (let turn = 0; turn < 5; turn++) await nextTurn();
    vi.advanceTimersByTime(ms);
    for (let turn = 0; turn < 5; turn++) await nextTurn();
  };
  const samplesOf = (name: string) => sampling.historyOf(vms.find((vm) => vm.name === name) as unknown as Vm).samples;
  const everyMsOf = (name: string) => sampling.historyOf(vms.find((vm) => vm.name === name) as unknown as Vm).everyMs;
  const hang = (): void => {
    hangs = true;
  };
  return { sampling, windows, ends, vms, pass, samplesOf, everyMsOf, hang };
}

test('each VM is looked at once in the time, and what is found is in its history', async () => {
  const { windows, pass, samplesOf, sampling } = trial(['x', 'y']);
  await pass(EVERY_MS + 1000);
  expect(windows.map(({ vm }) => vm).sort()).toEqual(['x', 'y']);
  windows[0]!.settle({ points: POINTS });
  await pass(0);
  expect(samplesOf(windows[0]!.vm)).toMatchObject([{ pagesPerSecond: 1000, ms: 1000, points: POINTS }]);
  expect(samplesOf(windows[1]!.vm)).toEqual([]);
  // The other one's window is still open: only the first is due again.
  await pass(EVERY_MS + 1000);
  expect(windows.slice(2).map(({ vm }) => vm)).toEqual([windows[0]!.vm]);
  sampling[Symbol.dispose]();
});

test('looks at a VM come at intervals between half and one and a half of what was asked for, as chance has it', async () => {
  const drawn = [0, 0.1, 0.9, 0.4];
  const { windows, pass, sampling } = trial(['x'], () => drawn.shift() ?? 0);
  const begunAtS: number[] = [];
  for (let second = 1; begunAtS.length < 4; second++) {
    await pass(1000);
    for (const window of windows.slice(begunAtS.length)) {
      begunAtS.push(second);
      window.settle({ points: POINTS });
    }
  }
  expect(begunAtS.map((at, index) => at - (begunAtS[index - 1] ?? 0))).toEqual([31, 36, 84, 54]);
  sampling[Symbol.dispose]();
});

test('looks that would come one after the other, and so evenly, are further apart than was asked for, which is told', async () => {
  const { windows, pass, everyMsOf, sampling } = trial(['x'], () => 1, 1000);
  expect(everyMsOf('x')).toBe(6000);
  await pass(2000);
  windows[0]!.settle({ points: POINTS });
  await pass(8000);
  expect(windows).toHaveLength(1);
  await pass(1000);
  expect(windows).toHaveLength(2);
  sampling[Symbol.dispose]();
});

test.each([
  [60, 4, 60_000],
  [61, 5, 60_000],
  [240, 16, 60_000],
  [480, 16, 120_000],
])('of %i VMs %i are watched at a time, each every %i ms, which is told', async (count, open, everyMs) => {
  const names = Array.from({ length: count }, (_, index) => `vm${index}`);
  const { windows, pass, everyMsOf, sampling } = trial(names);
  await pass(EVERY_MS);
  expect(windows).toHaveLength(open);
  expect(everyMsOf('vm0')).toBe(everyMs);
  sampling[Symbol.dispose]();
});

test.each([120, 300])('%i VMs are all looked at as often as is told', async (count) => {
  const names = Array.from({ length: count }, (_, index) => `vm${index}`);
  const random = randomFrom(1);
  const { windows, pass, everyMsOf, sampling } = trial(names, random);
  const everyMs = everyMsOf('vm0');
  const endsAtS = new Map<number, readonly { settle(outcome: WindowOutcome): void }[]>();
  let begun = 0;
  for (let second = 0; second < (5 * everyMs) / 1000; second++) {
    for (const window of endsAtS.get(second) ?? []) window.settle({ points: [] });
    await pass(1000);
    endsAtS.set(second + 3, windows.slice(begun));
    begun = windows.length;
  }
  // The first comes after three quarters of the time, on average; four follow.
  expect(windows.length / count).toBeGreaterThan(4);
  const turns = names.map((name) => windows.filter(({ vm }) => vm === name).length);
  expect(Math.min(...turns)).toBeGreaterThanOrEqual(3);
  sampling[Symbol.dispose]();
});

test('no more than four are watched at a time, and none that does not run', async () => {
  const { windows, vms, pass, sampling } = trial(['a', 'b', 'c', 'd', 'e', 'f']);
  vms[0]!.isAtWork = false;
  await pass(2 * EVERY_MS);
  expect(windows).toHaveLength(4);
  windows[0]!.settle({ points: [] });
  await pass(1000);
  expect(windows).toHaveLength(5);
  expect(windows.map(({ vm }) => vm)).not.toContain('a');
  sampling[Symbol.dispose]();
});

test('of more VMs than there is time for each has its turn', async () => {
  const names = Array.from({ length: 12 }, (_, index) => `vm${index}`);
  const { windows, pass, sampling } = trial(names);
  await pass(2 * EVERY_MS);
  // Each window takes so long that the first are due again when it ends.
  for (let ended = 0; ended < 24; ended += 4) {
    await pass(EVERY_MS);
    for (const window of windows.slice(ended, ended + 4)) window.settle({ points: POINTS });
  }
  const turns = names.map((name) => windows.filter(({ vm }) => vm === name).length);
  expect(Math.min(...turns)).toBeGreaterThanOrEqual(2);
  sampling[Symbol.dispose]();
});

test('who wants a VM has it at once, with what was found until then; nobody waits for one that is not watched', async () => {
  const { sampling, pass, ends, samplesOf } = trial(['x']);
  await sampling.release('x');
  await pass(EVERY_MS + 1000);
  await sampling.release('x');
  expect(ends).toEqual(['x']);
  expect(samplesOf('x')).toMatchObject([{ ms: 100 }]);
  sampling[Symbol.dispose]();
});

largerTest('a window that does not end is not waited for without end', async () => {
  const { sampling, pass, hang } = trial(['x']);
  hang();
  await pass(EVERY_MS + 1000);
  await expect(sampling.release('x')).rejects.toThrow('has not ended within 2000 ms: try again');
  sampling[Symbol.dispose]();
});

test('where the kernel cannot do it no VM is looked at again; of one VM that cannot be looked at the others are', async () => {
  const { windows, pass, sampling } = trial(['x', 'y']);
  await pass(EVERY_MS + 1000);
  windows[0]!.settle({ failure: 'no such file', isHopeless: false });
  windows[1]!.settle({ points: POINTS });
  await pass(EVERY_MS + 1000);
  expect(windows).toHaveLength(4);
  windows[2]!.settle({ failure: 'no userfaultfd', isHopeless: true });
  windows[3]!.settle({ points: POINTS });
  await pass(5 * EVERY_MS);
  expect(windows).toHaveLength(4);
  sampling[Symbol.dispose]();
});

test('with the daemon it ends', async () => {
  const { sampling, windows, ends, pass } = trial(['x']);
  await pass(EVERY_MS + 1000);
  sampling[Symbol.dispose]();
  windows[0]!.settle({ points: POINTS });
  await pass(5 * EVERY_MS);
  expect(ends).toEqual(['all']);
  expect(windows).toHaveLength(1);
});
