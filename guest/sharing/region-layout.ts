/**
 * The region that the sharing workload of the sample guests works on: what lies where, and who writes what.
 *
 * `memberCount` VMs, the members, number themselves from 0. Pages of 4096 bytes, numbers of 32 bits, little-endian, all
 * wrapping around; a region that was never written (all zero) is ready for use. In page order:
 *
 *   counterPages    each begins with a counter, which all members increment with locked instructions. Each member also
 *                   counts its own increments of each counter, in its private memory.
 *   one ring for each member: member r writes, member r + 1 (the last one: 0) reads
 *     1 page        begins with `produced`: how many entries the writer has written
 *     1 page        begins with `consumed`: how many the reader has read
 *     ringPages     entries of 16 bytes, entry s at s modulo their number: s, mix(s ^ salt of r), s ^ 0xffffffff, r
 *   ownPages        for each member: only it writes them, one after the other; at the words 0 and OWN_LAST_WORD how
 *                   often, at OWN_MARK_WORD the page's number in the region + 1
 *
 * Must hold: ringPages and ownPages are powers of two. guest/tiny/sharing-workload.ts and guest/linux/workload/sharing.c
 * do what stands here; checkCoherence (coherence.ts) says whether it is still true.
 */

export interface SharingOptions {
  /** VMs that work on the region, at most MAX_MEMBERS. */
  readonly memberCount: number;
  /** Default 64. */
  readonly counterPages?: number;
  /** Entries of each ring fill so many pages; default 4. */
  readonly ringPages?: number;
  /** Of each member; default 16. */
  readonly ownPages?: number;
}

export type RegionLayout = Required<SharingOptions>;

export const MAX_MEMBERS = 16;
/** 128 MiB: a member keeps 8 bytes of private memory for each. */
export const MAX_COUNTER_PAGES = 2 ** 15;

export const REGION_PAGE_BYTES = 4096;
export const RING_ENTRY_BYTES = 16;
const RING_HEADER_PAGES = 2;
/** Byte offsets in a page of a member's own. */
export const OWN_MARK_WORD = 2048;
export const OWN_LAST_WORD = 4092;

/** Throws RangeError when an option is none of the above, or the whole does not fit a region of so many bytes. */
export function regionLayout(options: SharingOptions, regionBytes: number): RegionLayout {
  const layout = { counterPages: 64, ringPages: 4, ownPages: 16, ...options };
  const { memberCount, counterPages, ringPages, ownPages } = layout;
  check('memberCount', memberCount, memberCount >= 1 && memberCount <= MAX_MEMBERS);
  check('counterPages', counterPages, counterPages >= 1 && counterPages <= MAX_COUNTER_PAGES);
  check('ringPages', ringPages, isPowerOfTwo(ringPages));
  check('ownPages', ownPages, isPowerOfTwo(ownPages));
  const needed = usedPages(layout) * REGION_PAGE_BYTES;
  if (needed > regionBytes) {
    throw new RangeError(`The sharing workload needs ${needed} bytes; the region has ${regionBytes}`);
  }
  return layout;
}

export function usedPages({ memberCount, counterPages, ringPages, ownPages }: RegionLayout): number {
  return counterPages + memberCount * (RING_HEADER_PAGES + ringPages + ownPages);
}

export function ringCapacity({ ringPages }: RegionLayout): number {
  return (ringPages * REGION_PAGE_BYTES) / RING_ENTRY_BYTES;
}

/** The page with `produced` of the ring that this member writes; `consumed` is one page on, entries begin two pages on. */
export function ringPage({ counterPages, ringPages }: RegionLayout, writer: number): number {
  return counterPages + writer * (RING_HEADER_PAGES + ringPages);
}

/** Whose ring a member reads. */
export function writerFor({ memberCount }: RegionLayout, reader: number): number {
  return (reader + memberCount - 1) % memberCount;
}

export function ownPage(layout: RegionLayout, member: number): number {
  return ringPage(layout, layout.memberCount) + member * layout.ownPages;
}

/** What makes the entries of one ring differ from those of another. */
export function ringSalt(writer: number): number {
  return Math.imul(writer + 1, 0x9e3779b1) >>> 0;
}

/** xorshift32 (Marsaglia 2003): a check that needs no table and is the same in every language. */
export function mix(value: number): number {
  let x = value;
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return x >>> 0;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value)) && value >= 1;
}

function check(name: string, value: number, fits: boolean): void {
  if (!Number.isSafeInteger(value) || !fits) throw new RangeError(`The sharing workload cannot have ${name} ${value}`);
}
