// What the threads of a migration are to the kernel's scheduler. Each test runs in a thread of its own: Vitest's.
import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { afterEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { SCHED_FIFO, SCHED_OTHER } from '../linux/abi/scheduling.ts';
import { endRealTime } from '../linux/real-time.ts';
import { Alertness, becomeOrdinary, Patience } from './thread-priority.ts';

/** Field 41 of /proc/PID/stat. */
function ownPolicy(): number {
  const stat = readFileSync('/proc/thread-self/stat', 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[41 - 3]);
}

/** Long enough to be judged. */
function compute(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

const rest = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

afterEach(() => {
  endRealTime();
  becomeOrdinary();
});

requireCapability('kernel')('a thread that serves page faults', () => {
  test('is a real-time one as long as it mostly waits', () => {
    const alertness = new Alertness();
    alertness.begin();
    expect(ownPolicy()).toBe(SCHED_FIFO);
    rest(150);
    alertness.reconsider();
    expect(ownPolicy()).toBe(SCHED_FIFO);
  });

  test('that never waits is an ordinary one until it waits again', () => {
    const alertness = new Alertness();
    alertness.begin();
    compute(150);
    alertness.reconsider();
    expect([ownPolicy(), getPriority()]).toEqual([SCHED_OTHER, 0]);
    rest(400);
    alertness.reconsider();
    expect(ownPolicy()).toBe(SCHED_FIFO);
  });

  test('is not judged by a moment', () => {
    const alertness = new Alertness();
    alertness.begin();
    compute(20);
    alertness.reconsider();
    expect(ownPolicy()).toBe(SCHED_FIFO);
  });
});

requireCapability('kernel')('a thread that copies while the guest runs', () => {
  test('gives way, until a VM waits for it, and never again', () => {
    const patience = new Patience();
    patience.begin();
    expect([getPriority(), patience.role]).toEqual([10, 'copying']);
    patience.hurry();
    expect([getPriority(), patience.role]).toEqual([-15, 'urgent']);
    patience.begin();
    expect(getPriority()).toBe(-15);
  });
});
