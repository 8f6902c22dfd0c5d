/**
 * Whether a request can be carried out at all.
 *
 * Must hold: nothing goes on from here whose range does not lie in the image, or which would change a read-only one.
 */
import type { Agreement, ExportFacts } from './export.ts';
import { MAX_REQUEST_BYTES } from './limits.ts';
import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_FLAG_DF,
  NBD_CMD_FLAG_FAST_ZERO,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLAG_REQ_ONE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NbdError,
} from './numbers.ts';
import type { NbdRequest } from './request-decoder.ts';

/** Flags that go with each command; FUA goes with all, where it may mean nothing. */
const FLAGS: ReadonlyMap<number, number> = new Map([
  [NBD_CMD_READ, NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_DF],
  [NBD_CMD_WRITE, NBD_CMD_FLAG_FUA],
  [NBD_CMD_FLUSH, NBD_CMD_FLAG_FUA],
  [NBD_CMD_TRIM, NBD_CMD_FLAG_FUA],
  [NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO],
  [NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_REQ_ONE],
]);

export interface RequestProblem {
  readonly error: NbdError;
  readonly text: string;
}

export function checkRequest(
  { command, flags, offset, bytes }: NbdRequest,
  { bytes: imageBytes, isReadOnly, minBlockBytes }: ExportFacts,
  { hasStructuredReplies, hasAllocation }: Agreement,
): RequestProblem | undefined {
  const allowed = FLAGS.get(command);
  if (allowed === undefined) return problem(NbdError.EINVAL, `unknown command ${command}`);
  if ((flags & ~allowed) !== 0) return problem(NbdError.EINVAL, `flags ${flags} do not go with command ${command}`);
  if (command === NBD_CMD_FLUSH) {
    return offset === 0 && bytes === 0 ? undefined : problem(NbdError.EINVAL, 'a flush has no range');
  }
  const isChange = changesImage(command);
  if (isChange && isReadOnly) return problem(NbdError.EPERM, 'the export is read-only');
  if (command === NBD_CMD_BLOCK_STATUS) {
    if (!hasAllocation) return problem(NbdError.EINVAL, 'base:allocation was not agreed upon');
    if (bytes === 0) return problem(NbdError.EINVAL, 'the status of no bytes');
  }
  if (command === NBD_CMD_READ && (flags & NBD_CMD_FLAG_DF) !== 0 && !hasStructuredReplies) {
    return problem(NbdError.EINVAL, 'DF needs structured replies');
  }
  if (command === NBD_CMD_READ && bytes > MAX_REQUEST_BYTES) {
    return problem(NbdError.EINVAL, `${bytes} bytes at once, more than the ${MAX_REQUEST_BYTES} allowed`);
  }
  if (offset % minBlockBytes !== 0 || bytes % minBlockBytes !== 0) {
    return problem(NbdError.EINVAL, `not a multiple of ${minBlockBytes} bytes`);
  }
  // Both are whole numbers below 2^64; neither sum nor rounding brings what lies beyond the end back into it.
  if (offset > imageBytes || bytes > imageBytes - offset) {
    const isWrite = command === NBD_CMD_WRITE || command === NBD_CMD_WRITE_ZEROES;
    return problem(isWrite ? NbdError.ENOSPC : NbdError.EINVAL, 'beyond the end of the image');
  }
  return undefined;
}

export function changesImage(command: number): boolean {
  return command === NBD_CMD_WRITE || command === NBD_CMD_TRIM || command === NBD_CMD_WRITE_ZEROES;
}

function problem(error: NbdError, text: string): RequestProblem {
  return { error, text };
}

/** QEMU keeps such a request when it fails, and submits it again where the VM runs on. */
export function isCancellable(command: number): boolean {
  return command === NBD_CMD_READ || command === NBD_CMD_WRITE || command === NBD_CMD_FLUSH;
}

/** @param after - that would begin while `before` still runs */
export function overlaps(before: NbdRequest, after: NbdRequest): boolean {
  if (after.command === NBD_CMD_BLOCK_STATUS) return false;
  return before.offset < after.offset + after.bytes && after.offset < before.offset + before.bytes;
}
