/**
 * Two migration reports as one table.
 *
 * Must hold: pure; every number is the report's own, but for the downtime without `--verify`, which is the difference
 * of two of them.
 */
import type { ReportView } from '../../src/api/migration-schema.ts';
import { formatDuration, formatSize } from '../../src/base/units.ts';

type Cell = (report: ReportView) => string;

const NONE = '-';

const ROWS: readonly (readonly [title: string, cell: Cell])[] = [
  ['outcome', ({ outcome, error }) => (error ? `${outcome}: ${error.code}` : outcome)],
  ['total time', ({ totalMs }) => formatDuration(totalMs)],
  ['downtime', downtime],
  ['  stop', part('stop')],
  ['  last pages, or list of missing', part('lastRound')],
  ['  save device state', part('saveState')],
  ['  transfer it', part('transferState')],
  ['  load it', part('loadState')],
  ['  commit', part('commit')],
  ['  resume', part('resume')],
  ['  compare digests (--verify)', part('verify')],
  ['downtime but for --verify', downtimeWithoutVerify],
  ['bytes on the wire', ({ wireBytes }) => formatSize(wireBytes)],
  ['memory of the VM', ({ ramBytes }) => formatSize(ramBytes)],
  ['pages sent', ({ pages }) => String(pages.sent)],
  ['  of these more than once', ({ pages }) => String(pages.resent)],
  ['pages not sent: never touched', ({ pages }) => String(pages.hole)],
  ['pages not sent: all zero', ({ pages }) => String(pages.zero)],
  ['rounds while the VM ran', ({ rounds }) => String(rounds.length)],
  ['pages missing at the switchover', ({ postCopy }) => String(postCopy?.missingPages ?? 0)],
  ['  page faults', ({ postCopy }) => (postCopy ? String(postCopy.faults) : NONE)],
  ['  a fault took: median, 99 %', faultTimes],
  ['  pages pushed', ({ postCopy }) => (postCopy ? String(postCopy.pushedPages) : NONE)],
  ['  all there after', ({ postCopy }) => (postCopy ? formatDuration(postCopy.residentMs) : NONE)],
  ['memory compared', verified],
];

/** The table's lines, the first one its head. */
export function renderSideBySide(reports: readonly ReportView[]): string[] {
  const rows = [
    ['', ...reports.map(({ from, owner, mode }) => `${from} → ${owner}, ${mode}`)],
    ...ROWS.map(([title, cell]) => [title, ...reports.map(cell)]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((text, column) => (column === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[column]!)))
      .join('   ')
      .trimEnd(),
  );
}

/** What the VM would have stood still without the digests; null when it did not move while it ran. */
export function downtimeButForVerify({ downtimeMs, downtimeParts }: ReportView): number | null {
  return downtimeMs === null ? null : downtimeMs - (downtimeParts?.verify ?? 0);
}

function downtime({ downtimeMs, clockUncertaintyMs }: ReportView): string {
  return downtimeMs === null ? NONE : `${milliseconds(downtimeMs)} (±${clockUncertaintyMs.toFixed(2)})`;
}

function downtimeWithoutVerify(report: ReportView): string {
  const ms = downtimeButForVerify(report);
  return ms === null ? NONE : milliseconds(ms);
}

function part(name: keyof NonNullable<ReportView['downtimeParts']>): Cell {
  return ({ downtimeParts }) => (downtimeParts ? milliseconds(downtimeParts[name]) : NONE);
}

function faultTimes({ postCopy }: ReportView): string {
  if (!postCopy || postCopy.faults === 0) return NONE;
  const { faultMicrosecondsP50, faultMicrosecondsP99 } = postCopy;
  return `${Math.round(faultMicrosecondsP50)} µs, ${Math.round(faultMicrosecondsP99)} µs`;
}

function verified({ verify }: ReportView): string {
  return verify ? `${verify.equal ? 'equal' : 'DIFFERENT'}, ${verify.pages} pages` : NONE;
}

function milliseconds(ms: number): string {
  return `${ms.toFixed(2)} ms`;
}
