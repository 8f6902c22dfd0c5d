/**
 * The durable record of one migration on one side: a file of checksummed lines in `migrations/ID/`.
 *
 * Owns: the file. Must hold: `append` returns only when the record is on stable storage; a torn last line (a crash
 * while writing) is dropped on reading, damage anywhere else is an error; records are never changed.
 * Layout of a line: 8 hex digits CRC-32 of the rest, space, JSON, newline.
 */
import {
  closeSync,
  constants,
  existsSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { GodwitError } from '../base/errors.ts';
import { passFaultPoint } from './fault-points.ts';
import type { JournalRecord } from './handover.ts';

/** Facts that a restarted daemon needs and that are no step of the handover. */
export interface JournalFacts {
  readonly side: 'facts';
  readonly [key: string]: unknown;
}

export type JournalLine = JournalRecord | JournalFacts;

export class Journal implements Disposable {
  readonly path: string;
  #fd: number;
  /** Records, those that could not be written among them. */
  #tried = 0;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /**
   * Begins the journal of a new migration; its directory entry is durable too.
   * @throws GW_CONFLICT when there is one: two migrations in one journal would take each other's steps for their own
   */
  static create(path: string): Journal {
    const directory = dirname(path);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const fd = openNew(path);
    fsyncSync(fd);
    syncDirectory(directory);
    syncDirectory(dirname(directory));
    return new Journal(path, fd);
  }

  /** Opens the journal of a migration that goes on; it must be there. */
  static reopen(path: string): Journal {
    // A torn last line is cut off: what is appended must not share its line.
    truncateSync(path, scan(path).wholeBytes);
    const fd = openSync(path, constants.O_WRONLY | constants.O_APPEND);
    fsyncSync(fd);
    return new Journal(path, fd);
  }

  /** A record that could not be written is not there, so that it may be written once more. */
  append(line: JournalLine): void {
    const json = JSON.stringify(line);
    const { size } = fstatSync(this.#fd);
    try {
      passFaultPoint('journalAppend', ++this.#tried);
      const bytes = Buffer.from(`${checksum(json)} ${json}\n`);
      // A disk that is all but full takes a part and says so by the count; what is wrong the next call says.
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
      fdatasyncSync(this.#fd);
    } catch (error) {
      ftruncateSync(this.#fd, size);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }
}

/**
 * All whole records of a journal, oldest first.
 * @throws GW_JOURNAL_CORRUPT when a line that is not the last is damaged, or the file cannot be read; ENOENT
 */
export function readJournal(path: string): JournalLine[] {
  return scan(path).lines;
}

/** What is whole of a journal that is damaged. It tells what the migration is about, and not how far it has come. */
export function readWholeLines(path: string): JournalLine[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(isWhole).map(parseLine);
  } catch {
    return [];
  }
}

function scan(path: string): { lines: JournalLine[]; wholeBytes: number } {
  const bytes = readBytes(path);
  const lines: JournalLine[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const end = bytes.indexOf(0x0a, offset);
    if (end < 0) break;
    const line = bytes.toString('utf8', offset, end);
    if (!isWhole(line)) {
      if (end === bytes.length - 1) break;
      throw new GodwitError('GW_JOURNAL_CORRUPT', { path, offset, reason: 'a checksum does not match' });
    }
    lines.push(parseLine(line));
    offset = end + 1;
  }
  return { lines, wholeBytes: offset };
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw cause;
    throw new GodwitError('GW_JOURNAL_CORRUPT', { path, offset: 0, reason: code ?? String(cause) }, { cause });
  }
}

function isWhole(line: string): boolean {
  return line.slice(0, 8) === checksum(line.slice(9));
}

function parseLine(line: string): JournalLine {
  return JSON.parse(line.slice(9)) as JournalLine;
}

/** Where the journals of a host are; `incoming` and `outgoing` are apart, so one host can be both ends of one migration. */
export function journalPath(stateDirectory: string, id: string, direction: 'outgoing' | 'incoming'): string {
  return join(stateDirectory, 'migrations', id, `${direction}.journal`);
}

export interface FoundJournal {
  readonly id: string;
  readonly direction: 'outgoing' | 'incoming';
  readonly path: string;
}

export function findJournals(stateDirectory: string): FoundJournal[] {
  const root = join(stateDirectory, 'migrations');
  if (!existsSync(root)) return [];
  return readdirSync(root).flatMap((id) =>
    (['outgoing', 'incoming'] as const)
      .map((direction) => ({ id, direction, path: journalPath(stateDirectory, id, direction) }))
      .filter((found) => existsSync(found.path)),
  );
}

function openNew(path: string): number {
  try {
    return openSync(path, 'ax', 0o600);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
    const name = basename(dirname(path));
    throw new GodwitError('GW_CONFLICT', { kind: 'Migration', name, reason: `${path} is there already` }, { cause });
  }
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(8, '0');
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  closeSync(fd);
}
