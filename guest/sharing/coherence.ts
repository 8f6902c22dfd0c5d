/**
 * Whether a region is what its members have made of it: nothing lost, nothing older than it was, nothing twice.
 *
 * Must hold: only used while all members are stopped, on the one region that they all had last. A member can be
 * stopped between its write to the region and its note of it in private memory: exactly that one write may be in the
 * region or not, and nothing else is forgiven.
 */
import {
  mix,
  OWN_LAST_WORD,
  OWN_MARK_WORD,
  ownPage,
  REGION_PAGE_BYTES,
  type RegionLayout,
  RING_ENTRY_BYTES,
  ringCapacity,
  ringPage,
  ringSalt,
  usedPages,
  writerFor,
} from './region-layout.ts';

/** What one member has in its private memory about its work; numbers wrap at 2^32 unless said otherwise. */
export interface SharingMember {
  readonly member: number;
  readonly memberCount: number;
  /** Increments of each counter by this member. */
  readonly counts: Uint32Array;
  /** The counter that it is about to increment, or has and has not counted; undefined when there is none. */
  readonly pendingCounter: number | undefined;
  /** Entries written to its ring and read from the other. */
  readonly produced: number;
  readonly consumed: number;
  /** Writes to its own pages, which it goes through in order. */
  readonly ownWrites: number;
  /** What it has seen itself that must not be. */
  readonly errors: number;
  readonly firstError: SharingError | undefined;
}

export interface SharingError {
  readonly kind: SharingErrorKind;
  /** The page of the region. */
  readonly page: number;
  readonly found: number;
  readonly expected: number;
}

/** As the guests number them. */
export const SHARING_ERRORS = [
  'none',
  'the counter went back',
  'produced is not what the writer wrote',
  'the ring holds more entries than fit',
  'the entry is not the next one',
  'consumed is not what the reader wrote',
  'an own page is not what was written last',
] as const;
export type SharingErrorKind = (typeof SHARING_ERRORS)[number];

export interface CoherenceOutcome {
  /** Empty when all is well; at most MAX_PROBLEMS. */
  readonly problems: readonly string[];
  /** Of all members together. */
  readonly increments: number;
  readonly entriesRead: number;
}

/** Anything that is read by offset, such as a RamFile. */
export interface RegionMemory {
  read(offset: number, into: Uint8Array): void;
}

/** More say nothing new. */
const MAX_PROBLEMS = 20;

/** @param members - all of them, in any order */
export function checkCoherence(
  members: readonly SharingMember[],
  region: RegionMemory,
  layout: RegionLayout,
): CoherenceOutcome {
  const ordered = Array.from({ length: layout.memberCount }, (_, index) =>
    members.find(({ member, memberCount }) => member === index && memberCount === layout.memberCount),
  );
  const present = ordered.filter((member) => member !== undefined);
  if (present.length !== layout.memberCount || members.length !== layout.memberCount) {
    const found = members.map(({ member, memberCount }) => `${member} of ${memberCount}`).join(', ');
    throw new RangeError(`The region has ${layout.memberCount} members; these are ${found}`);
  }
  const words = new Uint32Array((usedPages(layout) * REGION_PAGE_BYTES) / 4);
  region.read(0, new Uint8Array(words.buffer));
  const problems = [
    ...present.flatMap(errorsSeen),
    ...counterProblems(present, words, layout),
    ...present.flatMap((member) => ringProblems(member, present, words, layout)),
    ...present.flatMap((member) => ownProblems(member, words, layout)),
  ];
  const total = (of: (member: SharingMember) => number): number => present.reduce((sum, each) => sum + of(each), 0);
  return {
    problems: problems.slice(0, MAX_PROBLEMS),
    increments: total(({ counts }) => counts.reduce((sum, count) => sum + count, 0)),
    entriesRead: total(({ consumed }) => consumed),
  };
}

function errorsSeen({ member, errors, firstError }: SharingMember): string[] {
  if (errors === 0) return [];
  const first = firstError ?? { kind: SHARING_ERRORS[0], page: -1, found: 0, expected: 0 };
  const what = `page ${first.page}: ${first.kind} (${first.found} instead of ${first.expected})`;
  return [`Member ${member} has seen ${errors} errors, the first at ${what}`];
}

function counterProblems(members: readonly SharingMember[], words: Uint32Array, layout: RegionLayout): string[] {
  return Array.from({ length: layout.counterPages }, (_, page) => page).flatMap((page) => {
    const counted = members.reduce((sum, { counts }) => (sum + counts[page]!) >>> 0, 0);
    const pending = members.filter(({ pendingCounter }) => pendingCounter === page).length;
    const found = wordAt(words, page, 0);
    if (ahead(found, counted) <= pending) return [];
    return [`Counter ${page} is ${found}; its members have counted ${counted}, ${pending} of them may be one ahead`];
  });
}

/** The ring that this member writes. */
function ringProblems(
  writer: SharingMember,
  members: readonly SharingMember[],
  words: Uint32Array,
  layout: RegionLayout,
): string[] {
  const reader = members.find(({ member }) => writerFor(layout, member) === writer.member)!;
  const page = ringPage(layout, writer.member);
  const produced = wordAt(words, page, 0);
  const consumed = wordAt(words, page + 1, 0);
  const ring = `Ring ${writer.member}`;
  if (ahead(produced, writer.produced) > 1) return [`${ring} has produced ${produced}, its writer ${writer.produced}`];
  if (ahead(consumed, reader.consumed) > 1) return [`${ring} has consumed ${consumed}, its reader ${reader.consumed}`];
  const capacity = ringCapacity(layout);
  const waiting = ahead(produced, consumed);
  if (waiting > capacity) return [`${ring} has produced ${produced} and consumed ${consumed} of ${capacity} entries`];
  // What was read stays until it is overwritten; where the next one goes it may be under way, unless the ring is full.
  const last = Math.min(produced, capacity - (waiting === capacity ? 0 : 1));
  return Array.from({ length: last }, (_, back) => (produced - 1 - back) >>> 0).flatMap((sequence) => {
    const offset = (2 * REGION_PAGE_BYTES + (sequence % capacity) * RING_ENTRY_BYTES) / 4;
    const found = [0, 1, 2, 3].map((word) => wordAt(words, page, (offset + word) * 4));
    const expected = ringEntry(writer.member, sequence);
    if (found.every((word, index) => word === expected[index])) return [];
    return [`${ring} has the entry ${found} instead of ${expected}`];
  });
}

export function ringEntry(writer: number, sequence: number): [number, number, number, number] {
  return [sequence, mix((sequence ^ ringSalt(writer)) >>> 0), ~sequence >>> 0, writer];
}

function ownProblems({ member, ownWrites }: SharingMember, words: Uint32Array, layout: RegionLayout): string[] {
  const { ownPages } = layout;
  const [passes, at] = [Math.floor(ownWrites / ownPages), ownWrites % ownPages];
  return Array.from({ length: ownPages }, (_, index) => index).flatMap((index) => {
    const page = ownPage(layout, member) + index;
    const writes = passes + (index < at ? 1 : 0);
    const underWay = index === at;
    const marks = [writes === 0 ? 0 : page + 1, ...(underWay ? [page + 1] : [])];
    const counts = [writes, ...(underWay ? [writes + 1] : [])];
    const [first, mark, last] = [0, OWN_MARK_WORD, OWN_LAST_WORD].map((at) => wordAt(words, page, at));
    if (counts.includes(first!) && counts.includes(last!) && marks.includes(mark!)) return [];
    return [`Page ${page} of member ${member} has ${first}, ${mark}, ${last} after ${writes} writes`];
  });
}

/** How far a wrapping number is ahead of another. */
function ahead(number: number, of: number): number {
  return (number - of) >>> 0;
}

function wordAt(words: Uint32Array, page: number, offset: number): number {
  return words[(page * REGION_PAGE_BYTES + offset) / 4]!;
}
