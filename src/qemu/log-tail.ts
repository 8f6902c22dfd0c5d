/**
 * QEMU's own words: the end of what it wrote to its log.
 *
 * Must hold: a bounded part of the file is read, and only what came after `fromByte`, so that an old failure in the
 * same file is never taken for a new one.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';

const TAIL_BYTES = 8192;
const TAIL_LINES = 8;
const MAX_TEXT_LENGTH = 1000;

/** Bytes in the log now; 0 when there is none. */
export function logSize(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The last lines in one, joined by ` / `; empty when nothing was written since `fromByte`. */
export function readLogTail(path: string, fromByte: number): string {
  if (logSize(path) <= fromByte) return '';
  const fd = openSync(path, 'r');
  try {
    const size = fstatSync(fd).size;
    const start = Math.max(fromByte, size - TAIL_BYTES);
    const bytes = Buffer.alloc(Math.max(0, size - start));
    const length = readSync(fd, bytes, 0, bytes.length, start);
    return inOneLine(bytes.toString('utf8', 0, length));
  } finally {
    closeSync(fd);
  }
}

/** The text with QEMU's name and time stamps taken off, shortened from the front. */
export function inOneLine(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => line.replace(/^\S*qemu[\w.-]*: /, '').trim())
    .filter((line) => line !== '');
  return lines.slice(-TAIL_LINES).join(' / ').slice(-MAX_TEXT_LENGTH);
}
