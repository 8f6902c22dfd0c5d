/**
 * How many lines refusals have in the audit log: anybody who reaches the port, or has a token for little, can ask without end.
 *
 * Must hold: the first are written down each by itself; beyond the limit they are counted, and the next line tells how many.
 */
import type { AuditEntry } from '../api/audit.ts';

/** At once, such as of a program whose token has been taken away. */
const MOST_LINES = 100;
/** Some 20 MB a day. */
const LINES_PER_SECOND = 1;

export class RefusalLimit {
  #lines = MOST_LINES;
  #leftOut = 0;
  #atMs = 0;

  /** undefined: it is only counted. */
  limit(entry: AuditEntry, nowMs: number): AuditEntry | undefined {
    this.#lines = Math.min(MOST_LINES, this.#lines + ((nowMs - this.#atMs) / 1000) * LINES_PER_SECOND);
    this.#atMs = nowMs;
    if (this.#lines < 1) {
      this.#leftOut++;
      return undefined;
    }
    this.#lines--;
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    return leftOut === 0 ? entry : { ...entry, leftOut };
  }
}
