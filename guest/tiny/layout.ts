/**
 * Where things lie in the tiny guest's memory.
 *
 * Owns: guest-physical addresses; below 1 GiB they are offsets into the VM's RAM file as well. Must hold: parameters
 * and counters share one page, and the guest writes that page all the time: a parameter that is changed from outside
 * (which write protection in QEMU's page tables does not see) still reaches the destination of a migration.
 */

export const PAGE_BYTES = 4096;
/** The identity map of long mode is one page directory of 2 MiB pages. */
export const MAPPED_BYTES = 2 ** 30;

export const PAGE_TABLES_ADDRESS = 0x1000; // three pages
export const STACK_TOP_ADDRESS = 0x7000;
export const CODE_ADDRESS = 0x7000;
export const CONTROL_ADDRESS = 0x8000;
/** In the page of the controls. */
export const DISK_BUFFER_ADDRESS = 0x8800;
export const SECTOR_BYTES = 512;
/** Pages before this one belong to the guest itself, and the legacy video and ROM area ends here. */
export const FIRST_USABLE_PAGE = 0x100;

/** Offsets into the control page; 32-bit little-endian numbers unless said otherwise. */
export const CONTROL = {
  /** Not zero: fill and clear are to be done (again); the guest sets it to 0 when they are. */
  restart: 0x00,
  firstPage: 0x04,
  pageCount: 0x08,
  delay: 0x0c,
  writeMode: 0x10,
  heartbeatPasses: 0x14,
  fillFirstPage: 0x18,
  fillPageCount: 0x1c,
  fillRandomWords: 0x20,
  /** State of the random numbers, never 0. */
  seed: 0x24,
  /** The guest's own count of passes to the next heartbeat. */
  heartbeatLeft: 0x28,
  /** 64-bit */
  passes: 0x30,
  /** 64-bit */
  pagesWritten: 0x38,
  /** Sectors of its ledger, a power of two, less one; see disk-workload.ts. */
  diskMask: 0x40,
  /** How many sectors it has written. */
  diskWrites: 0x44,
  /** It rests after every so many pages, a power of two, less one; see rest.ts. */
  restMask: 0x48,
  /** How long, in counts of the timer; 0: not at all, all ones: it never can. */
  restCounts: 0x4c,
  /** Last, so that when it is there the rest is as well. */
  magic: 0x50,
} as const;
export const CONTROL_BYTES = 0x54;
export const NEVER_RESTS = 0xffffffff;
export const CONTROL_MAGIC = 0x54445747; // "GWDT"

/** What the guest does to a page at each visit. */
export const WriteMode = {
  /** Increments byte 0. */
  byte: 0,
  /** Increments byte 0 and writes a value of page and pass to the rest: compresses well. */
  page: 1,
  /** Increments byte 0 and writes random numbers to the rest: does not compress at all. */
  random: 2,
} as const;
export type WriteMode = keyof typeof WriteMode;
