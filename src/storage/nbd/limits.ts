/**
 * What a client of the block server may ask for at most.
 *
 * Must hold: every length of a client is compared with one of these before anything is allocated or waited for.
 */

/** Of a read, or the data of a write: what the protocol lets every client take for granted. */
export const MAX_REQUEST_BYTES: number = 32 * 2 ** 20;
/** Of the name of an export or a metadata context; the protocol's own limit. */
export const MAX_NAME_BYTES = 4096;
/** Of one option: a name and a handful of metadata contexts. */
export const MAX_OPTION_BYTES: number = 64 * 1024;
/** Options of one client before it uses an export: real ones send five or six, and one that lists may send more. */
export const MAX_OPTIONS = 1024;
/** Metadata contexts asked for in one option. */
export const MAX_META_QUERIES = 64;
/** Of one BLOCK_STATUS reply; a client asks again for the rest. */
export const MAX_EXTENTS = 1024;
/** A client with so many requests unanswered is not read from. QEMU has 16 a connection at most, others 64 to 256. */
export const MAX_OPEN_REQUESTS = 1024;
/** A client whose unanswered requests hold so much data is not read from: with the last one it has half as much again. */
export const MAX_OPEN_BYTES: number = 2 * MAX_REQUEST_BYTES;
/** Connections of one server; QEMU opens one for a disk, or up to 16. */
export const MAX_CLIENTS = 64;
/** For the negotiation, TLS included. */
export const NEGOTIATION_TIMEOUT_MS = 30_000;
