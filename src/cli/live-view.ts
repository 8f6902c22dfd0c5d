/**
 * A running migration on a terminal (redrawn in place) or in a log (one line a second).
 *
 * Must hold: the bar never goes back; what is drawn fits the terminal's width; nothing goes to stdout.
 */
import cliProgress from 'cli-progress';
import type { MigrationView } from '../api/migration-schema.ts';
import { formatBandwidth, formatDuration, formatRate, formatSize } from '../base/units.ts';
import type { MigrationProgress } from '../migration/progress.ts';
import type { Io } from './io.ts';

/** What is shown of one migration as it goes. */
export interface ProgressDisplay {
  started(migration: MigrationView): void;
  progressed(progress: MigrationProgress): void;
  noted(level: 'info' | 'warn', text: string): void;
  ended(migration: MigrationView): void;
}

const REDRAW_MS = 100;
const LINE_MS = 1000;
const BAR_WIDTH = 30;

type ApiProgress = Omit<MigrationProgress, 'phase' | 'verdict'> & {
  phase: string;
  verdict: { kind: string; text: string };
};

export function openDisplay(io: Io, nowMs: () => number): ProgressDisplay {
  return io.errIsTerminal ? new LiveDisplay(io, nowMs) : new LineDisplay(io, nowMs);
}

/** The lines of the live view, each cut to the terminal's width. */
export function renderLive(migration: MigrationView, progress: ApiProgress, columns: number): string[] {
  const bar = cliProgress.Format.BarFormat(progress.percent / 100, {
    barsize: BAR_WIDTH,
    barCompleteString: '█'.repeat(BAR_WIDTH),
    barIncompleteString: '░'.repeat(BAR_WIDTH),
    barGlue: '',
  } as Parameters<typeof cliProgress.Format.BarFormat>[1]);
  const round = progress.round > 0 ? `, round ${progress.round}` : '';
  const eta = progress.etaMs === null ? '' : `  about ${formatDuration(progress.etaMs)} left`;
  const predicted = progress.prediction === null ? '' : ` · in all ${renderRange(progress.prediction.totalMs)}`;
  const facts = [
    `sent ${formatSize(progress.sentBytes)}`,
    `${formatSize(progress.remainingBytes)} to go`,
    formatRate(progress.bytesPerSecond),
    `dirty ${formatRate(progress.dirtyBytesPerSecond)}`,
  ];
  if (progress.throttlePercent > 0) facts.push(`vCPUs slowed by ${Math.round(progress.throttlePercent)} %`);
  if (progress.predictedDowntimeMs !== null) facts.push(`downtime now ${formatDuration(progress.predictedDowntimeMs)}`);
  if (progress.waitingFor !== null) facts.push(`waiting for ${progress.waitingFor}`);
  return [
    `${migration.vm} → ${migration.peer}  ${bar} ${String(Math.floor(progress.percent)).padStart(3)} %  ${progress.phase}${round}${eta}`,
    `  ${facts.join(' · ')}${predicted}`,
    `  ${progress.verdict.kind}: ${progress.verdict.text}`,
  ].map((line) => (line.length < columns ? line : `${line.slice(0, Math.max(0, columns - 2))}…`));
}

/** One progress line for a log. */
export function renderLine(progress: ApiProgress): string {
  const parts = [
    `migration ${progress.phase}, transferred ${formatSize(progress.sentBytes)} of ${formatSize(progress.ramBytes)} VM memory`,
    formatRate(progress.bytesPerSecond),
  ];
  if (progress.dirtyBytesPerSecond > 0) {
    const lots = progress.dirtyBytesPerSecond >= progress.bytesPerSecond ? 'VM dirties lots of memory' : 'VM dirties';
    parts.push(`${lots}: ${formatRate(progress.dirtyBytesPerSecond)}`);
  }
  if (progress.throttlePercent > 0) parts.push(`vCPUs slowed by ${Math.round(progress.throttlePercent)} %`);
  if (progress.waitingFor !== null) parts.push(`waiting for ${progress.waitingFor}`);
  return `${parts.join(', ')} (${Math.floor(progress.percent)} %, ${progress.verdict.kind})`;
}

export function renderStartLine(migration: MigrationView): string {
  const { options } = migration;
  const limits =
    options === null
      ? ''
      : `, mode ${options.mode}, downtime limit ${formatDuration(options.maxDowntimeMs)}, bandwidth ` +
        (options.bandwidthBytesPerSecond === 0 ? 'unlimited' : formatBandwidth(options.bandwidthBytesPerSecond));
  return `migration ${migration.id}: VM ${migration.vm}, peer ${migration.peer}${limits}`;
}

export function renderEndLine(migration: MigrationView): string {
  const { report } = migration;
  if (!report) return `migration ${migration.state}`;
  const speed = report.totalMs > 0 ? (report.wireBytes * 1000) / report.totalMs : 0;
  const downtime = report.downtimeMs === null ? '' : ` - downtime ${formatDuration(report.downtimeMs)}`;
  return `migration ${report.outcome}, transferred ${formatSize(report.wireBytes)}, average speed ${formatRate(speed)}${downtime}`;
}

/** Such as `3.1 s to 4.0 s`; of what is known to the digit shown, one number. */
export function renderRange({ low, high }: { readonly low: number; readonly high: number }): string {
  const [from, to] = [formatDuration(low), formatDuration(high)];
  return from === to ? from : `${from} to ${to}`;
}

class LineDisplay implements ProgressDisplay {
  readonly #io: Io;
  readonly #nowMs: () => number;
  #lastAtMs = Number.NEGATIVE_INFINITY;
  #started = false;

  constructor(io: Io, nowMs: () => number) {
    this.#io = io;
    this.#nowMs = nowMs;
  }

  started(migration: MigrationView): void {
    if (!this.#started) this.#io.err(`${renderStartLine(migration)}\n`);
    this.#started = true;
  }

  progressed(progress: ApiProgress): void {
    if (this.#nowMs() - this.#lastAtMs < LINE_MS) return;
    this.#lastAtMs = this.#nowMs();
    this.#io.err(`${renderLine(progress)}\n`);
  }

  noted(level: 'info' | 'warn', text: string): void {
    this.#io.err(`${level === 'warn' ? 'warning: ' : ''}${text}\n`);
  }

  ended(migration: MigrationView): void {
    this.#io.err(`${renderEndLine(migration)}\n`);
  }
}

class LiveDisplay implements ProgressDisplay {
  readonly #io: Io;
  readonly #nowMs: () => number;
  #migration: MigrationView | undefined;
  #last: ApiProgress | undefined;
  #drawnLines = 0;
  #drawnAtMs = Number.NEGATIVE_INFINITY;
  #percent = 0;

  constructor(io: Io, nowMs: () => number) {
    this.#io = io;
    this.#nowMs = nowMs;
  }

  started(migration: MigrationView): void {
    if (!this.#migration) this.#io.err(`${renderStartLine(migration)}\n`);
    this.#migration = migration;
  }

  progressed(progress: ApiProgress): void {
    // The host promises that it never falls; the bar does not depend on it.
    this.#percent = Math.max(this.#percent, progress.percent);
    this.#last = { ...progress, percent: this.#percent };
    if (this.#nowMs() - this.#drawnAtMs >= REDRAW_MS) this.#draw();
  }

  noted(level: 'info' | 'warn', text: string): void {
    this.#erase();
    this.#io.err(`${level === 'warn' ? 'warning: ' : ''}${text}\n`);
    this.#draw();
  }

  ended(migration: MigrationView): void {
    this.#erase();
    this.#io.err(`${renderEndLine(migration)}\n`);
  }

  #draw(): void {
    if (!this.#migration || !this.#last) return;
    const lines = renderLive(this.#migration, this.#last, this.#io.columns());
    this.#erase();
    this.#io.err(`${lines.join('\n')}\n`);
    this.#drawnLines = lines.length;
    this.#drawnAtMs = this.#nowMs();
  }

  // Up to the first drawn line, then clear to the end of the screen (ECMA-48 CUU, ED).
  #erase(): void {
    if (this.#drawnLines > 0) this.#io.err(`\u001b[${this.#drawnLines}A\u001b[J`);
    this.#drawnLines = 0;
  }
}
