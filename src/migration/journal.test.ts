import { appendFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { hasCode } from '../base/errors.ts';
import { Journal, type JournalLine, journalPath, readJournal, readWholeLines } from './journal.ts';

const CORRUPT = expect.toSatisfy((error) => hasCode(error, 'GW_JOURNAL_CORRUPT')) as Error;
const state = mkdtempSync(join(tmpdir(), 'godwit-journal-'));
afterAll(() => rmSync(state, { recursive: true }));

const LINES: JournalLine[] = ['one', 'two', 'three'].map((word) => ({ side: 'facts', word }));

/** A journal that has been written and closed. */
function written(id: string, lines: readonly JournalLine[]): string {
  const path = journalPath(state, id, 'incoming');
  using journal = Journal.create(path);
  for (const line of lines) journal.append(line);
  return path;
}

test('what was appended is read again', () => {
  expect(readJournal(written('read', LINES))).toEqual(LINES);
});

test('a new migration never gets the journal of another one, which stays as it is', () => {
  const path = written('taken', LINES);
  expect(() => Journal.create(path)).toThrow(expect.toSatisfy((error) => hasCode(error, 'GW_CONFLICT')) as Error);
  expect(readJournal(path)).toEqual(LINES);
});

test('the two sides of one migration have a journal each', () => {
  written('both', []);
  using outgoing = Journal.create(journalPath(state, 'both', 'outgoing'));
  expect(existsSync(outgoing.path)).toBe(true);
});

test('a migration that goes on appends to what is there', () => {
  const path = written('on', LINES.slice(0, 2));
  using journal = Journal.reopen(path);
  journal.append(LINES[2]!);
  expect(readJournal(path)).toEqual(LINES);
});

test('a journal that is not there is not reopened', () => {
  const path = journalPath(state, 'never', 'incoming');
  expect(() => Journal.reopen(path)).toThrow('ENOENT');
  expect(existsSync(path)).toBe(false);
});

test('a torn last line is cut off before more is appended', () => {
  const path = written('torn', LINES.slice(0, 2));
  appendFileSync(path, '0badc0de {"side":"fa');
  using journal = Journal.reopen(path);
  journal.append(LINES[2]!);
  expect(readJournal(path)).toEqual(LINES);
});

test('damage before the last line is an error', () => {
  const path = written('damaged', LINES);
  writeFileSync(path, `00000000 {"side":"facts"}\n`, { flag: 'r+' });
  expect(() => readJournal(path)).toThrow(CORRUPT);
});

test('of a damaged journal the whole lines can be read', () => {
  const path = written('damaged-in-part', LINES);
  writeFileSync(path, '00000000', { flag: 'r+' });
  appendFileSync(path, '0badc0de {"side":"fa');
  expect(readWholeLines(path)).toEqual(LINES.slice(1));
});

test('a journal that cannot be read is as one that is damaged', () => {
  const path = journalPath(state, 'a-directory', 'incoming');
  mkdirSync(path, { recursive: true });
  expect(() => readJournal(path)).toThrow(CORRUPT);
  expect(readWholeLines(path)).toEqual([]);
});
