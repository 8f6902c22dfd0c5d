import { describe, expect, test } from 'vitest';
import { GodwitError } from '../base/errors.ts';
import type { DirtyTracker } from '../memory/dirty-tracker.ts';
import { RamLayout } from '../memory/layout.ts';
import { openTracker, type TrackerMakers, type TrackerParts } from './tracker-opening.ts';

const PARTS: TrackerParts = {
  qemu: { pid: 1, startTicks: 1 },
  layout: new RamLayout([{ id: 'ram', bytes: 4096 }]),
  starts: [0n],
  vcpuTids: [],
  canReturnMemory: false,
  pagesPerSecond: 0,
  entrust: () => () => undefined,
};

const UNKNOWN_FEATURE = new GodwitError('GW_SYS_UNSUPPORTED', { feature: 'WP_ASYNC', reason: 'EINVAL' });
const UNKNOWN_CALL = new GodwitError('GW_SYS_CALL', { call: 'PAGEMAP_SCAN', errno: 'ENOTTY' });
const BUSY = new GodwitError('GW_SYS_CALL', { call: 'UFFDIO_REGISTER', errno: 'EBUSY' });

/** Trackers that are only told from each other by a name; the kernel's fails when it is made, or when it starts. */
function makers(failure?: { readonly at: 'open' | 'start'; readonly error: Error }, log: string[] = []): TrackerMakers {
  const make = (name: string, atStart?: Error): DirtyTracker =>
    ({
      name,
      start: () => {
        if (atStart) throw atStart;
        log.push(`${name} started`);
      },
      stop: () => log.push(`${name} stopped`),
    }) as unknown as DirtyTracker;
  return {
    kernel: () => {
      if (failure?.at === 'open') throw failure.error;
      return make('kernel', failure?.error);
    },
    groups: async ({ pages }) => make(`groups of ${pages}`),
  };
}

describe('the tracker', () => {
  test.each([
    ['kernel', 'kernel'],
    ['groups', 'groups of auto'],
    ['groups:64', 'groups of 64'],
  ])('is the one that was asked for: %s', async (choice, name) => {
    const log: string[] = [];
    const { tracker, reason } = await openTracker(choice, PARTS, makers(undefined, log));
    expect([tracker, reason, log]).toEqual([expect.objectContaining({ name }), null, [`${name} started`]]);
  });

  test.each([
    ['a feature of userfaultfd', 'open', UNKNOWN_FEATURE],
    ['the scan', 'start', UNKNOWN_CALL],
  ] as const)('goes by groups where the kernel lacks %s, and says so', async (_, at, error) => {
    const { tracker, reason } = await openTracker('kernel', PARTS, makers({ at, error }));
    expect(tracker).toMatchObject({ name: 'groups of auto' });
    expect(reason).toContain(error.message);
  });

  test('is none where something else is wrong, and what was begun is stopped', async () => {
    const log: string[] = [];
    await expect(openTracker('kernel', PARTS, makers({ at: 'start', error: BUSY }, log))).rejects.toBe(BUSY);
    expect(log).toEqual(['kernel stopped']);
  });
});
