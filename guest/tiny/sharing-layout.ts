/**
 * Where the tiny guest keeps its part of the sharing workload (guest/sharing/region-layout.ts): in private memory.
 *
 * Owns: guest-physical addresses, which are offsets into the VM's RAM file. Must hold: parameters and counters share
 * one page, which the guest writes all the time (see layout.ts).
 */
import {
  ownPage,
  REGION_PAGE_BYTES,
  type RegionLayout,
  ringCapacity,
  ringPage,
  ringSalt,
  writerFor,
} from '../sharing/region-layout.ts';
import { MAPPED_BYTES } from './layout.ts';

/** The guest places the BAR there: behind any RAM that a test gives it, inside of the identity map. */
export const BAR_ADDRESS = 2 ** 29;
/** A larger BAR would reach beyond the identity map. */
export const MAX_REGION_BYTES: number = MAPPED_BYTES - BAR_ADDRESS;
/** RAM must end before the BAR. */
export const MAX_SHARING_RAM_BYTES: number = BAR_ADDRESS;

export const SHARING_ADDRESS = 0x9000;
/** For each counter: how often this member has incremented it, and what it was after the last time; 32 bits each. */
export const COUNTS_ADDRESS = 0x10000;
export const COUNTS_ENTRY_BYTES = 8;

export const SharingState = { starting: 0, working: 1, noDevice: 2 } as const;

/** Offsets from SHARING_ADDRESS; 32-bit little-endian numbers unless said otherwise. */
export const SHARING = {
  /** Parameters, never written by the guest. Addresses are in the BAR. */
  member: 0x00,
  memberCount: 0x04,
  counterPages: 0x08,
  /** Of the ring that it writes, and of the one that it reads. */
  writtenRing: 0x0c,
  readRing: 0x10,
  writtenSalt: 0x14,
  readSalt: 0x18,
  readWriter: 0x1c,
  ringEntries: 0x20,
  ringMask: 0x24,
  ownPages: 0x28,
  ownFirstPage: 0x2c,
  ringPages: 0x30,
  /** A SharingState. */
  state: 0x40,
  /** Of the BAR, as the device says. */
  regionBytes: 0x44,
  /** The page of the counter that comes next. */
  counterAt: 0x48,
  /** The counter that is being incremented, plus one; 0 when there is none. */
  pendingCounter: 0x4c,
  produced: 0x50,
  consumed: 0x54,
  ownWrites: 0x58,
  errors: 0x5c,
  /** Of the first error: an index into SHARING_ERRORS, its address, both values. */
  errorKind: 0x60,
  errorAddress: 0x64,
  errorFound: 0x68,
  errorExpected: 0x6c,
  /** 64-bit */
  increments: 0x70,
} as const;
export const SHARING_BYTES = 0x78;

/** The guest's place in a region. */
export interface TinySharing {
  /** As `regionLayout` has made it. */
  readonly layout: RegionLayout;
  /** From 0. */
  readonly member: number;
}

/** What the image has at SHARING_ADDRESS. */
export function initialSharing({ layout, member }: TinySharing): Uint8Array {
  if (!Number.isSafeInteger(member) || member < 0 || member >= layout.memberCount) {
    throw new RangeError(`There is no member ${member} of ${layout.memberCount}`);
  }
  const bytes = new Uint8Array(SHARING_BYTES);
  const view = new DataView(bytes.buffer);
  const set = (field: keyof typeof SHARING, value: number): void => view.setUint32(SHARING[field], value, true);
  const address = (page: number): number => BAR_ADDRESS + page * REGION_PAGE_BYTES;
  const writer = writerFor(layout, member);
  set('member', member);
  set('memberCount', layout.memberCount);
  set('counterPages', layout.counterPages);
  set('writtenRing', address(ringPage(layout, member)));
  set('readRing', address(ringPage(layout, writer)));
  set('writtenSalt', ringSalt(member));
  set('readSalt', ringSalt(writer));
  set('readWriter', writer);
  set('ringEntries', ringCapacity(layout));
  set('ringMask', ringCapacity(layout) - 1);
  set('ringPages', layout.ringPages);
  set('ownPages', layout.ownPages);
  set('ownFirstPage', ownPage(layout, member));
  // Members begin at different counters, or they would go through them in step.
  set('counterAt', Math.floor((member * layout.counterPages) / layout.memberCount));
  return bytes;
}
