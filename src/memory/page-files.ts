/**
 * Pages in files that lie one after the other, as the regions of a VM's memory do.
 *
 * Must hold: a file that has become shorter, was closed, or cannot be read there (EIO: memory that has failed) is a page that
 * is not there. It is of somebody else, whose harm is not that of who asks.
 */
import { readSync } from 'node:fs';
import { PAGE_SIZE, type PageIndex } from '../base/page.ts';
import type { FilePiece } from '../linux/ram-file.ts';

const GONE: readonly string[] = ['EBADF', 'EIO'];

/** False when the page is not there. */
export function readPieces(pieces: readonly FilePiece[], page: PageIndex, into: Uint8Array): boolean {
  let at = page * PAGE_SIZE;
  for (const { fd, offset, bytes } of pieces) {
    if (at < bytes) return isRead(fd, into, offset + at);
    at -= bytes;
  }
  return false;
}

function isRead(fd: number, into: Uint8Array, position: number): boolean {
  try {
    return readSync(fd, into, 0, PAGE_SIZE, position) === PAGE_SIZE;
  } catch (error) {
    if (GONE.includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}
