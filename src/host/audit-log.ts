/**
 * The audit log of a daemon's API (`auditLog`): one line of JSON a request, behind what is in the file.
 *
 * Owns: the open file. Must hold: a file that was moved away or removed is followed by a new one, as after SIGHUP; a line that cannot be
 * written (a full disk) stops nothing: it goes to the ordinary log, is counted, and the reason is said once until it can be written
 * again; half a line is never continued by the next; refusals do not fill the log.
 */
import { closeSync, constants, fstatSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import type { AuditEntry, AuditTrail } from '../api/audit.ts';
import { explain, GodwitError } from '../base/errors.ts';
import type { Logger } from './logger.ts';
import { RefusalLimit } from './refusal-limit.ts';

/** What is counted of it. */
export interface AuditCounts {
  requestRefused(status: number): void;
  /** A line is in the ordinary log in place of the file. */
  auditUnwritten(): void;
}

/** To write behind the end, and to look at it; what is no file is never waited for. */
const FLAGS = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOCTTY;
/** The configuration is right; only nothing can be written now. */
const NO_ROOM: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT']);

export class AuditLog implements AuditTrail, Disposable {
  readonly #path: string | null;
  readonly #log: Logger;
  readonly #counts: AuditCounts;
  /** By whose token it was: nobody hides what another one tries. Strangers are one. */
  readonly #limits = new Map<string | null, RefusalLimit>();
  readonly #reopen = (): void => this.#close();
  #fd: number | undefined;
  /** The end of the last line is missing. */
  #isTorn = false;
  #isFailing = false;

  /** @param path - null: lines go to the ordinary log @throws GW_INPUT_INVALID where it cannot be a log */
  constructor(path: string | null, log: Logger, counts: AuditCounts) {
    this.#path = path;
    this.#log = log;
    this.#counts = counts;
    if (path === null) return;
    try {
      this.#open(path);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      const fix = `give a file that the daemon can write (${code ?? explain(cause)})`;
      if (!NO_ROOM.has(code))
        throw new GodwitError('GW_INPUT_INVALID', { field: 'auditLog', value: path, fix }, { cause });
      this.#fail(cause);
    }
    process.on('SIGHUP', this.#reopen);
  }

  record(given: AuditEntry): void {
    const { status } = given;
    const isRefused = status === 401 || status === 403;
    if (isRefused) this.#counts.requestRefused(status);
    const entry = isRefused ? this.#limitOf(given.token).limit(given, performance.now()) : given;
    if (entry === undefined) return;
    if (this.#path !== null && this.#write(this.#path, `${JSON.stringify(entry)}\n`)) return;
    this.#log[isRefused ? 'warn' : 'info']({ audit: entry }, `${entry.method} ${entry.route ?? 'no route'}`);
  }

  [Symbol.dispose](): void {
    process.off('SIGHUP', this.#reopen);
    this.#close();
  }

  /** As many as there are tokens. */
  #limitOf(token: string | null): RefusalLimit {
    const limit = this.#limits.get(token) ?? new RefusalLimit();
    this.#limits.set(token, limit);
    return limit;
  }

  /** Whether it is in the file. */
  #write(path: string, line: string): boolean {
    try {
      if (this.#fd === undefined || !isAt(this.#fd, path)) this.#open(path);
      const bytes = Buffer.from(this.#isTorn ? `\n${line}` : line);
      const written = writeSync(this.#fd!, bytes);
      this.#isTorn = written < bytes.length;
      if (this.#isTorn) throw Object.assign(new Error(`only ${written} bytes were written`), { code: 'ENOSPC' });
    } catch (error) {
      this.#counts.auditUnwritten();
      this.#fail(error);
      return false;
    }
    if (this.#isFailing) this.#log.info({ path }, 'the audit log is written again');
    this.#isFailing = false;
    return true;
  }

  #open(path: string): void {
    this.#close();
    this.#fd = openSync(path, FLAGS, 0o600);
    const facts = fstatSync(this.#fd);
    if (!facts.isFile()) {
      this.#close();
      throw Object.assign(new Error(`${path} is no file`), { code: 'it is no file' });
    }
    const last = Buffer.alloc(1);
    // Such as of a daemon before this one, whose disk was full.
    this.#isTorn = facts.size > 0 && readSync(this.#fd, last, 0, 1, facts.size - 1) === 1 && last.toString() !== '\n';
  }

  /** The next line goes to the file that has the name then. */
  #close(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  #fail(error: unknown): void {
    const { code } = error as NodeJS.ErrnoException;
    const facts = { path: this.#path, reason: code ?? explain(error) };
    if (!this.#isFailing) this.#log.error(facts, 'the audit log cannot be written: its lines are here until it can');
    this.#isFailing = true;
  }
}

/** Whether the name still leads to what is open. */
function isAt(fd: number, path: string): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  const open = fstatSync(fd);
  return there !== undefined && there.ino === open.ino && there.dev === open.dev;
}
