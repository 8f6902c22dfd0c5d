import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import type { DyingTrackerInput } from '../../test/support/dying-tracker.ts';
import { GuineaPig } from '../../test/support/guinea-pig.ts';
import { describeTracker } from '../../test/support/tracker-contract.ts';
import type { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE } from '../base/page.ts';
import type { GroupSetting } from '../base/tracker-choice.ts';
import { identifyProcess } from '../linux/process.ts';
import { RamLayout } from '../memory/layout.ts';
import { emptyReport } from './empty-report.ts';
import { GroupDirtyTracker, type GroupTrackerOptions } from './group-tracker.ts';
import { DEFAULT_MIGRATION_OPTIONS } from './request.ts';
import { WorkerHandle } from './worker-handle.ts';

const PAGES = 1000;
/** Writers that wait for their turn get some twenty pages a second. */
const SLOWEST = 99;

function open(pid: number, options: Partial<GroupTrackerOptions> = {}): Promise<GroupDirtyTracker> {
  return GroupDirtyTracker.open({
    qemu: identifyProcess(pid) ?? { pid, startTicks: 0 },
    layout: new RamLayout([{ id: 'all', bytes: PAGES * PAGE_SIZE }]),
    starts: [],
    pages: 1,
    vcpuTids: [pid],
    canReturnMemory: false,
    pagesPerSecond: 0,
    entrust: () => () => undefined,
    ...options,
  });
}

describeTracker('the tracker of a process, by single pages', (pid, layout, starts) => open(pid, { layout, starts }));

requireCapability('kernel', 'cc')('a tracker by groups', () => {
  async function track(pig: GuineaPig, pages: GroupSetting, options: Partial<GroupTrackerOptions> = {}) {
    const tracker = await open(pig.pid, { starts: [pig.start], pages, ...options });
    tracker.start();
    return tracker;
  }

  test('finds the whole group of a page that was written, and takes one fault for it', async () => {
    await using pig = await GuineaPig.start(PAGES);
    using tracker = await track(pig, 64);
    for (const page of [70, 71, 127, 999]) await pig.write(page, 1);
    expect(tracker.peek({ first: 100, count: 100 })).toEqual([{ first: 100, count: 28 }]);
    expect(tracker.collect()).toEqual([
      { first: 64, count: 64 },
      { first: 960, count: 40 },
    ]);
    expect(tracker.facts.groups).toMatchObject({ faults: 2, smallestPages: 64, largestPages: 64 });
    await pig.write(64, 2);
    expect(tracker.collect()).toEqual([{ first: 64, count: 64 }]);
  });

  test('makes smaller groups when less may be sent again', async () => {
    await using pig = await GuineaPig.start(PAGES);
    using tracker = await track(pig, 'auto');
    await pig.write(0, 1);
    expect(tracker.collect()).toEqual([{ first: 0, count: 512 }]);
    tracker.setBudget(40);
    await pig.write(0, 1);
    tracker.setBudget(0);
    await pig.write(100, 1);
    expect(tracker.collect()).toEqual([
      { first: 0, count: 2 },
      { first: 100, count: 1 },
    ]);
  });

  test('lets a writer wait for his turn, a reader never, and nobody any more once that is over', async () => {
    await using pig = await GuineaPig.start(PAGES);
    for (let page = 0; page < PAGES; page++) await pig.write(page, 1);
    using tracker = await track(pig, 1, { pagesPerSecond: 2000 });
    tracker.throttle.set(SLOWEST);
    expect(tracker.throttle.percent).toBe(SLOWEST);
    const writingMs = await measure(async () => {
      for (let page = 0; page < 20; page++) await pig.write(page, 2);
    });
    expect(writingMs).toBeGreaterThan(500);
    const readingMs = await measure(async () => {
      for (let page = 0; page < PAGES; page++) await pig.read(page);
    });
    expect(readingMs).toBeLessThan(writingMs);
    expect(tracker.facts.groups!.pacedFaults).toBeGreaterThan(10);
    pig.send('w 500 2');
    tracker.throttle.set(0);
    await pig.answer();
    const freeMs = await measure(async () => {
      for (let page = 600; page < 620; page++) await pig.write(page, 2);
    });
    expect(freeMs).toBeLessThan(writingMs / 2);
  });

  test('lets nobody wait when the thread that has it dies without a word', async () => {
    await using pig = await GuineaPig.start(PAGES);
    const qemu = identifyProcess(pig.pid)!;
    const input: DyingTrackerInput = { qemu, starts: [pig.start], bytes: PAGES * PAGE_SIZE };
    const handle = dyingThread(input);
    await handle.exited;
    expect(readFileSync(`/proc/${pig.pid}/smaps`, 'utf8')).not.toMatch(/^VmFlags:.* (uw|um|ui)\b/m);
    await pig.write(1, 1);
    await handle.ended;
  });

  test('does not slow threads that are no vCPUs', async () => {
    await using pig = await GuineaPig.start(PAGES);
    using tracker = await track(pig, 1, { pagesPerSecond: 2000, vcpuTids: [] });
    tracker.throttle.set(SLOWEST);
    for (let page = 0; page < 20; page++) await pig.write(page, 2);
    expect(tracker.facts.groups).toMatchObject({ pacedFaults: 0 });
  });
});

/** A migration's thread as the daemon has it. */
function dyingThread(input: DyingTrackerInput): WorkerHandle {
  const options = DEFAULT_MIGRATION_OPTIONS;
  const vm = { name: 'pig', memoryBytes: input.bytes };
  const facts = { id: 'm', vm, to: 'b', hostName: 'a', options };
  const report = (error: GodwitError) =>
    emptyReport({ input: facts, startedAt: 0, totalMs: 0, outcome: 'failed', error: error.toBody() });
  return new WorkerHandle({
    ...{ id: 'm', vm: 'pig', direction: 'outgoing', peer: 'b', options, ramBytes: input.bytes, hasVm: true },
    qemu: null,
    uuid: '',
    epoch: 1,
    module: '../../test/support/dying-tracker',
    input,
    afterCrash: async (error) => ({ settlement: { kind: 'stays' }, report: report(error) }),
    reportUndecided: report,
  });
}

async function measure(act: () => Promise<void>): Promise<number> {
  const fromMs = performance.now();
  await act();
  return performance.now() - fromMs;
}
