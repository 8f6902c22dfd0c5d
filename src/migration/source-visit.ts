/**
 * What a migration leaves for the next one to the same host to be predicted by.
 *
 * Owns: collecting it while the migration runs. Must hold: nothing comes of a migration that did not complete, or that
 * measured no link (pure post-copy), or whose downtime was lengthened by `--verify`.
 */
import { MIN_SAMPLE_PAGES, type RoundFacts, sendingMsOf, unnamedPages } from './dirty-estimate.ts';
import type { Visit } from './known-links.ts';
import type { MigrationReport } from './report.ts';

/** A pass of which more was only named shows what the other host had, and not how fast the link is. */
const MAX_NAMED_PART = 0.25;
/** Fewer missing pages say little about how fast pages are pushed. */
const MIN_PUSHED_PAGES = 2048;

export class SourceVisit {
  readonly #vm: string;
  #begun: RoundFacts | null = null;
  #latest: RoundFacts | null = null;

  /** @param vm - its UUID */
  constructor(vm: string) {
    this.#vm = vm;
  }

  /** Between two rounds: before the first, and last when it was decided what ends them. */
  observe(facts: RoundFacts): void {
    this.#begun ??= facts;
    this.#latest = { ...facts, rounds: [...facts.rounds] };
  }

  make(report: MigrationReport, atMs: number): Visit | null {
    const [begun, latest] = [this.#begun, this.#latest];
    const [first, ...later] = latest?.rounds ?? [];
    const { downtimeMs, downtimeParts, postCopy, totalMs, outcome, verify } = report;
    if (!begun || !latest || !first || outcome !== 'completed' || verify || downtimeMs === null || !downtimeParts)
      return null;
    const lookedPages = begun.remainingPages - first.skippedPages;
    const sendingMs = sendingMsOf(first);
    // A pass that was cut short, had nothing to do, or did nothing but wait tells nothing.
    if (
      sendingMs <= 0 ||
      first.sentPages < MIN_SAMPLE_PAGES ||
      first.sentPages + first.skippedPages + first.dirtyPages < begun.remainingPages / 2
    )
      return null;
    if ((report.packing?.duplicatePages ?? 0) > first.sentPages * MAX_NAMED_PART) return null;
    const resent = later.findLast((round) => unnamedPages(round) >= MIN_SAMPLE_PAGES);
    const passMsPerPage = sendingMs / lookedPages;
    return {
      atMs,
      vm: this.#vm,
      bytesPerSecond: (first.sentBytes * 1000) / sendingMs,
      wholeBytes: first.sentBytes / lookedPages,
      resentBytes: resent ? resent.sentBytes / unnamedPages(resent) : 0,
      // What of the destination's preparing the first pass could not be sent in, too.
      preparingMs: begun.elapsedMs + (first.waitedMs ?? 0),
      fixedDowntimeMs: Math.max(0, downtimeMs - downtimeParts.lastRound),
      endingMs: Math.max(0, totalMs - latest.elapsedMs - downtimeMs - (postCopy?.residentMs ?? 0)),
      pushFactor:
        postCopy && postCopy.missingPages >= MIN_PUSHED_PAGES
          ? postCopy.residentMs / postCopy.missingPages / passMsPerPage
          : 0,
    };
  }
}
