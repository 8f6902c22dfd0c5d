/** The journal on a disk that is full: a record is there as a whole, or `append` says that it is not. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { Journal, type JournalLine, journalPath, readJournal } from './journal.ts';

const SHORT: JournalLine = { side: 'facts', word: 'short' };
/** More than the rest of the page that the journal has of the disk: the kernel takes a part of it. */
const LONG: JournalLine = { side: 'facts', word: 'long'.repeat(2000) };

let disk: string;

function fill(path: string): void {
  try {
    for (;;) writeFileSync(path, Buffer.alloc(4096), { flag: 'a' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

requireCapability('kernel')('a journal on a full disk', () => {
  beforeAll(() => {
    disk = mkdtempSync(join(tmpdir(), 'godwit-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'godwit-test', disk]);
  });
  afterAll(() => {
    execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true });
  });

  test('a record of which only a part fits is none, and is told', () => {
    const filler = join(disk, 'filler');
    const path = journalPath(disk, 'full', 'outgoing');
    using journal = Journal.create(path);
    journal.append(SHORT);
    const { size } = statSync(path);
    fill(filler);
    expect(() => journal.append(LONG)).toThrow('ENOSPC');
    expect(statSync(path).size).toBe(size);
    expect(readJournal(path)).toEqual([SHORT]);
    rmSync(filler);
    journal.append(LONG);
    expect(readJournal(path)).toEqual([SHORT, LONG]);
  });
});
