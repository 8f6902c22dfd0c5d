/**
 * Bubbles: what is pushed around the pages that the VM asked for lately.
 *
 * Owns: a few bubbles. Each begins at a fault and grows on the side that is nearer to the last one, so both ways; where
 * faults ascend or descend, a stream, on the side that they go to. Bubbles that meet are one. They take turns by weight:
 * how many faults were near, those of long ago counting less, and one without any lately ends.
 * Pure; time is counted in pages that went. Must hold: pages are taken by `release`, as others take them too; what a
 * turn costs does not depend on the size of the VM.
 */
import type { PageIndex } from '../base/page.ts';
import type { PageBitmap } from '../base/page-bitmap.ts';

interface Bubble {
  /** Nothing in [low, high) is owed. */
  low: PageIndex;
  high: PageIndex;
  /** Nothing is owed anywhere near that end. */
  isLowDone: boolean;
  isHighDone: boolean;
  lastFault: PageIndex;
  /** Of the last fault, in all faults. */
  number: number;
  /** So many faults in a row were each above the one before; below zero, each below. */
  trend: number;
  weight: number;
  /** By how much its turns are fewer than its weight deserves. */
  credit: number;
}

/** More streams of faults than a VM of some vCPUs has. Each costs a few operations a turn. */
export const MAX_BUBBLES = 32;
/** 64 KiB, as much as a fault brings by itself. */
const TURN_PAGES = 16;
/** 256 KiB: a fault that is no farther from a bubble is one of its own, and the pages in between come first. */
const NEAR_PAGES = 64;
/** 2 MiB: what lies behind a longer stretch of which nothing is owed has nothing to do with the faults. */
const MAX_GAP_PAGES = 512;
/** Three faults that ascend or descend. */
const STREAM_STEPS = 2;
/** 4 MiB. With less a stream has more faults where its bubble has ended; more keeps pages waiting that are worth more. */
const HALF_LIFE_PAGES = 1024;
/** A single fault counts for one half-life. */
const MIN_WEIGHT = 0.5;

export class FaultBubbles {
  #owed: PageBitmap;
  #bubbles: Bubble[] = [];
  #faults = 0;

  constructor(owed: PageBitmap) {
    this.#owed = owed;
  }

  get count(): number {
    return this.#bubbles.length;
  }

  /** Pages that went may be owed again. */
  restart(owed: PageBitmap): void {
    this.#owed = owed;
    for (const bubble of this.#bubbles) {
      Object.assign(bubble, { low: bubble.lastFault, high: bubble.lastFault, isLowDone: false, isHighDone: false });
    }
  }

  /** The VM waited for this page. */
  fault(page: PageIndex): void {
    const number = ++this.#faults;
    const near = this.#bubbles.find(({ low, high }) => page >= low - NEAR_PAGES && page < high + NEAR_PAGES);
    if (near) {
      near.trend = nextTrend(near, page);
      near.lastFault = page;
      near.number = number;
      near.weight++;
      return;
    }
    if (this.#bubbles.length === MAX_BUBBLES) this.#remove(this.#bubbles.reduce(lighter));
    this.#bubbles.push({
      low: page,
      high: page,
      isLowDone: false,
      isHighDone: false,
      lastFault: page,
      number,
      trend: 0,
      weight: 1,
      credit: 0,
    });
  }

  /** Takes up to so many pages where streams go. */
  takeStreams(most: number, into: PageIndex[]): void {
    this.#take(isStream, most, into);
  }

  /** Takes up to so many pages. */
  take(most: number, into: PageIndex[]): void {
    this.#take(() => true, most, into);
  }

  /** So many pages went, around faults or elsewhere. */
  pass(pages: number): void {
    const kept = 2 ** (-pages / HALF_LIFE_PAGES);
    for (const bubble of this.#bubbles) bubble.weight *= kept;
    this.#bubbles = this.#bubbles.filter(({ weight }) => weight >= MIN_WEIGHT);
  }

  #take(hasTurns: (bubble: Bubble) => boolean, most: number, into: PageIndex[]): void {
    const full = into.length + most;
    while (into.length < full) {
      const bubble = this.#nextTurn(hasTurns);
      if (!bubble) return;
      this.#grow(bubble, Math.min(full, into.length + TURN_PAGES), into);
      if (bubble.isLowDone && bubble.isHighDone) this.#remove(bubble);
      else this.#merge(bubble);
    }
  }

  /** Smooth weighted round robin: each earns its weight, and who has earned most pays for all. */
  #nextTurn(hasTurns: (bubble: Bubble) => boolean): Bubble | undefined {
    let next: Bubble | undefined;
    let total = 0;
    for (const bubble of this.#bubbles) {
      if (!hasTurns(bubble)) continue;
      bubble.credit += bubble.weight;
      total += bubble.weight;
      if (next === undefined || bubble.credit > next.credit) next = bubble;
    }
    if (next) next.credit -= total;
    return next;
  }

  #grow(bubble: Bubble, full: number, into: PageIndex[]): void {
    const isUp = growsUp(bubble);
    while (into.length < full) {
      const page = isUp
        ? this.#owed.next(bubble.high, bubble.high + MAX_GAP_PAGES)
        : this.#owed.previous(bubble.low, Math.max(0, bubble.low - MAX_GAP_PAGES));
      if (page < 0) {
        if (isUp) bubble.isHighDone = true;
        else bubble.isLowDone = true;
        return;
      }
      if (isUp) bubble.high = page + 1;
      else bubble.low = page;
      if (this.#owed.release(page)) into.push(page);
    }
  }

  #merge(grown: Bubble): void {
    for (const other of [...this.#bubbles]) {
      if (other === grown || other.low > grown.high || other.high < grown.low) continue;
      if (other.low < grown.low) {
        grown.low = other.low;
        grown.isLowDone = other.isLowDone;
      }
      if (other.high > grown.high) {
        grown.high = other.high;
        grown.isHighDone = other.isHighDone;
      }
      if (other.number > grown.number) {
        grown.lastFault = other.lastFault;
        grown.number = other.number;
        grown.trend = other.trend;
      }
      grown.weight += other.weight;
      grown.credit += other.credit;
      this.#remove(other);
    }
  }

  #remove(bubble: Bubble): void {
    this.#bubbles.splice(this.#bubbles.indexOf(bubble), 1);
  }
}

function nextTrend({ trend, lastFault }: Bubble, page: PageIndex): number {
  if (page > lastFault) return Math.max(trend, 0) + 1;
  if (page < lastFault) return Math.min(trend, 0) - 1;
  return trend;
}

function growsUp(bubble: Bubble): boolean {
  const { low, high, isLowDone, isHighDone, lastFault, trend } = bubble;
  if (isStream(bubble)) return trend > 0;
  if (isLowDone || isHighDone) return isLowDone;
  return high - 1 - lastFault <= lastFault - low;
}

function isStream({ trend, isLowDone, isHighDone }: Bubble): boolean {
  return trend > 0 ? trend >= STREAM_STEPS && !isHighDone : trend <= -STREAM_STEPS && !isLowDone;
}

function lighter(a: Bubble, b: Bubble): Bubble {
  return b.weight < a.weight ? b : a;
}
