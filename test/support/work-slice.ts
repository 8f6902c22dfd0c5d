/**
 * The tiny guest's work over a short time, on a machine that others use as well.
 *
 * Must hold: `done` is never more than `possible`, and both are the same while nobody else wants the CPU. A slowdown
 * that works as asked shows between the two, however busy the machine is.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { readThreadTime } from './thread-time.ts';
import type { TinyGuestView } from './tiny-guest-view.ts';

export interface WorkSlice {
  /** Pages a second. */
  readonly done: number;
  /** Pages a second on a machine of its own, at most. */
  readonly possible: number;
  /** How much of the time nothing but other programs kept the guest from working. */
  readonly freePercent: number;
}

/** Waits for work to be seen: a slice in which the guest did not come to run at all says nothing. */
export async function measureSlice(
  guest: TinyGuestView,
  vcpu: { readonly pid: number; readonly tid: number },
  ms: number,
): Promise<WorkSlice> {
  const look = () => ({
    ...readThreadTime(vcpu.pid, vcpu.tid),
    pages: guest.counters.pagesWritten,
    atMs: performance.now(),
  });
  const from = look();
  let to = from;
  while (to.pages === from.pages || to.ranMs === from.ranMs) {
    await delay(ms);
    to = look();
  }
  const [ranMs, waitedMs] = [to.ranMs - from.ranMs, Math.max(0, to.waitedMs - from.waitedMs)];
  const tookMs = to.atMs - from.atMs;
  const done = ((to.pages - from.pages) * 1000) / tookMs;
  return { done, possible: (done * (ranMs + waitedMs)) / ranMs, freePercent: (100 * (ranMs + waitedMs)) / tookMs };
}
