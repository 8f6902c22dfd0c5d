/**
 * Files that are either the old or the new contents, never half of one, whatever stops the machine.
 *
 * Must hold: data is on disk before the name points to it, and the name before the call returns.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export function writeFileAtomically(path: string, contents: string): void {
  const temporary = temporaryOf(path);
  const fd = openSync(temporary, 'w', 0o600);
  try {
    const bytes = Buffer.from(contents);
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  const directory = openSync(dirname(path), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** Removes what a process that was killed while it wrote has left. */
export function removeHalfWritten(path: string): void {
  rmSync(temporaryOf(path), { force: true });
}

/** One name for all processes: only one at a time writes here (state-lock.ts). */
function temporaryOf(path: string): string {
  return `${path}.new`;
}
