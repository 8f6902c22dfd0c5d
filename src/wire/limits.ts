/**
 * Every bound on what a peer may send.
 *
 * Owns: the numbers. docs/protocol.md repeats them and a test compares.
 * Must hold: no buffer, array or loop in godwit is sized by a number from the wire that has not been held against one
 * of these first.
 */

export const PROTOCOL_VERSION = 1;
/** Version N speaks N-1 as well, so a fleet can be updated one host at a time. There is nothing before 1. */
export const MIN_PROTOCOL_VERSION = 1;

export const FRAME_HEADER_BYTES = 8;
export const RUN_BYTES = 12;
export const REPLY_RUN_BYTES = 16;
export const PAGE_DIGEST_BYTES = 16;
export const PACKED_RUN_BYTES = 16;
/** What a delta is made of: a cache line, and a bit for each of a page's 64. */
export const LINE_BYTES = 64;
export const LINE_MASK_BYTES = 8;
/** Of a page's contents under a key: what is sent instead of a page that the destination holds. */
export const FINGERPRINT_BYTES = 16;
/** The beginning of a migration's id, by which pages of the VM that comes by it are named. */
export const MIGRATION_NAME_BYTES = 8;
/** A fingerprint, a migration's name and a page number: what is sent instead of a page that another VM brings. */
export const ELSEWHERE_BYTES: number = FINGERPRINT_BYTES + MIGRATION_NAME_BYTES + 4;
/** A page of a shared region and its turn. */
export const SHARED_PAIR_BYTES = 8;

/** No frame of any type is larger. Half of the decoder's buffer, so that a frame always fits behind another one. */
export const MAX_FRAME_PAYLOAD = 2 * 1024 * 1024;
export const DECODER_BUFFER_BYTES = 4 * 1024 * 1024;

/** 1 MiB of page data a frame: the size of the staging copy; larger frames gained nothing on loopback. */
export const MAX_PAGES_PER_FRAME = 256;
/** A list of runs is cut into parts of this many: 768 KiB a part. */
export const MAX_RUNS_PER_PART = 65_536;
/** QEMU writes its device state, some 300 kB in all, in pieces of 32 KiB; a socket read is 64 KiB. */
export const MAX_STATE_CHUNK = 1024 * 1024;
export const MAX_CONSOLE_CHUNK = 256 * 1024;
/** The filter of what a destination holds: at 12 bits a page 5.6 million pages, or 21 GiB. */
export const MAX_FILTER_BYTES: number = 8 * 1024 * 1024;
export const MAX_FILTER_PIECE: number = 1024 * 1024;

/** Control messages are small, but the offer carries QEMU's whole command line. */
export const MAX_CONTROL_BYTES = 64 * 1024;
export const MAX_OFFER_BYTES = 1024 * 1024;

/** 8 TiB: page numbers and counts stay below 2^31, so bit operations on them are exact and a run's count fits a u32. */
export const MAX_GUEST_PAGES: number = 2 ** 31;
export const MAX_MEMORY_REGIONS = 64;
/** 256 GiB: a region that VMs share takes both hosts four bytes a page. */
export const MAX_SHARED_PAGES: number = 2 ** 26;
/** Pages in one frame of questions or acknowledgements: 32 KiB. */
export const MAX_SHARED_PAIRS = 4096;
/** VMs that share a region. */
export const MAX_SHARING_VMS = 64;

/** The lengths of texts, counted in UTF-16 units, and of lists. */
export const MAX_NAME_LENGTH = 63;
export const MAX_WORD_LENGTH = 255;
export const MAX_PATH_LENGTH = 4096;
export const MAX_TEXT_LENGTH = 8192;
/** Linux itself allows 128 KiB for one argument; a JSON `-device` or `-blockdev` is below 1 KiB. */
export const MAX_ARGUMENT_LENGTH = 32 * 1024;
export const MAX_ARGUMENTS = 4096;
export const MAX_DISKS = 256;
/** Images below one disk's: QEMU itself opens no deeper chain in reasonable time. */
export const MAX_BACKING_IMAGES = 64;
export const MAX_CPU_FEATURES = 1024;
export const MAX_FEATURES = 64;
export const MAX_NOTES = 64;
/** Modification rates that go along with a VM. */
export const MAX_HISTORY_SAMPLES = 60;
export const MAX_TIMINGS = 32;
/** One digest for every 64 MiB up to 64 GiB; a larger guest sends the total only. */
export const MAX_DIGEST_CHUNKS = 1024;

/** Free-form JSON (facts, error details): how deep and how many values in all. */
export const MAX_JSON_DEPTH = 8;
export const MAX_JSON_VALUES = 4096;
