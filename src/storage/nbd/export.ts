/**
 * What a client is told about an export, and what it has agreed upon with the server.
 *
 * Owns: the export's facts and the flags that they make.
 */
import {
  NBD_FLAG_CAN_MULTI_CONN,
  NBD_FLAG_HAS_FLAGS,
  NBD_FLAG_READ_ONLY,
  NBD_FLAG_SEND_DF,
  NBD_FLAG_SEND_FAST_ZERO,
  NBD_FLAG_SEND_FLUSH,
  NBD_FLAG_SEND_FUA,
  NBD_FLAG_SEND_TRIM,
  NBD_FLAG_SEND_WRITE_ZEROES,
} from './numbers.ts';

export interface ExportFacts {
  readonly name: string;
  readonly bytes: number;
  readonly isReadOnly: boolean;
  /** Offsets and lengths are multiples of it; a power of two. */
  readonly minBlockBytes: number;
}

/** How a client and the server speak once an export is in use. */
export interface Agreement {
  readonly exportName: string;
  readonly hasStructuredReplies: boolean;
  /** The client may ask for BLOCK_STATUS of base:allocation. */
  readonly hasAllocation: boolean;
}

/** What reads and writes best; the page of the host's cache. */
export const PREFERRED_BLOCK_BYTES = 4096;

/**
 * Several connections see each other's writes at once, and a flush on one covers all that was answered on any: there is
 * one descriptor of the image.
 */
export function transmissionFlags({ isReadOnly }: ExportFacts): number {
  const always = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_DF | NBD_FLAG_CAN_MULTI_CONN;
  if (isReadOnly) return always | NBD_FLAG_READ_ONLY;
  return always | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO;
}
