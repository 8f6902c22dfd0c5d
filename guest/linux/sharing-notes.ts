/**
 * The sample Linux guest's part in the sharing workload, read from outside: the page of notes in its private memory.
 *
 * Must hold: the layout is that of workload/sharing.h. The page stays where it is, so look for it once.
 */
import { SHARING_ERRORS, type SharingMember } from '../sharing/coherence.ts';
import { REGION_PAGE_BYTES, type RegionLayout } from '../sharing/region-layout.ts';

/** A VM's RAM, read by offset. */
export interface RamBytes {
  readonly bytes: number;
  read(offset: number, into: Uint8Array): void;
}

/** SHARING_MAGIC, with the zero byte that ends it. */
const MAGIC = Buffer.from('GODWIT SHARING!\0', 'latin1');
/** Offsets of `struct sharing_notes`; 32-bit little-endian numbers. */
const NOTES = {
  member: 16,
  members: 20,
  counters: 24,
  pending: 36,
  produced: 40,
  consumed: 44,
  ownWrites: 48,
  errors: 52,
  errorKind: 56,
  errorPage: 60,
  errorFound: 64,
  errorExpected: 68,
} as const;
const COUNTS_OFFSET = 72;
/** MAX_SHARED_COUNTERS: what fits into the page. */
export const MAX_LINUX_COUNTER_PAGES = 1000;
const CHUNK_BYTES = 2 ** 20;

/** Offset of the notes in the VM's RAM; undefined while the guest does not work on a region yet. */
export function findSharingNotes(ram: RamBytes): number | undefined {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let at = 0; at < ram.bytes; at += CHUNK_BYTES) {
    const part = chunk.subarray(0, Math.min(CHUNK_BYTES, ram.bytes - at));
    ram.read(at, part);
    for (let page = 0; page < part.length; page += REGION_PAGE_BYTES) {
      if (MAGIC.equals(part.subarray(page, page + MAGIC.length))) return at + page;
    }
  }
  return undefined;
}

/** @param offset - from `findSharingNotes`; may be read while the guest runs, for `checkCoherence` it must be stopped */
export function readSharingNotes(ram: RamBytes, offset: number): SharingMember {
  const page = new Uint8Array(REGION_PAGE_BYTES);
  ram.read(offset, page);
  const view = new DataView(page.buffer);
  const get = (field: keyof typeof NOTES): number => view.getUint32(NOTES[field], true);
  const pending = get('pending');
  const firstError = {
    kind: SHARING_ERRORS[get('errorKind')] ?? SHARING_ERRORS[0],
    page: get('errorPage'),
    found: get('errorFound'),
    expected: get('errorExpected'),
  };
  return {
    member: get('member'),
    memberCount: get('members'),
    counts: new Uint32Array(page.buffer, COUNTS_OFFSET, get('counters')),
    pendingCounter: pending === 0 ? undefined : pending - 1,
    produced: get('produced'),
    consumed: get('consumed'),
    ownWrites: get('ownWrites'),
    errors: get('errors'),
    firstError: get('errorKind') === 0 ? undefined : firstError,
  };
}

/** The word of the kernel command line that makes the guest a member. @param rate - steps a second */
export function sharingParameter(layout: RegionLayout, member: number, rate?: number | 'max'): string {
  const { memberCount, counterPages, ringPages, ownPages } = layout;
  if (counterPages > MAX_LINUX_COUNTER_PAGES) {
    throw new RangeError(`The Linux guest counts up to ${MAX_LINUX_COUNTER_PAGES} counters, not ${counterPages}`);
  }
  const sizes = `member:${member},members:${memberCount},counters:${counterPages},ring:${ringPages},own:${ownPages}`;
  return `godwit.sharing=${sizes}${rate === undefined ? '' : `,rate:${rate}`}`;
}
