/** Migrations and their reports as text. */
import type { MigrationView, ReportView } from '../api/migration-schema.ts';
import { PredictionSchema } from '../api/prediction-schema.ts';
import { fixOf } from '../base/errors.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { formatDuration, formatRate, formatSize } from '../base/units.ts';
import type { CheckResult } from '../migration/handle.ts';
import { diskLines } from './disk-view.ts';
import { renderRange } from './live-view.ts';
import { renderTable } from './table.ts';

export const PART_TITLES = {
  stop: 'stop',
  lastRound: 'last round',
  saveState: 'save state',
  transferState: 'transfer',
  loadState: 'load state',
  commit: 'commit',
  resume: 'resume',
  verify: 'verify',
} as const;

export function renderMigrationList(migrations: readonly MigrationView[]): string {
  if (migrations.length === 0) return 'No migrations yet.';
  return renderTable(
    [
      { title: 'ID' },
      { title: 'VM' },
      { title: 'DIRECTION' },
      { title: 'PEER' },
      { title: 'MODE' },
      { title: 'STATE' },
      { title: 'TOTAL', align: 'right' },
      { title: 'DOWNTIME', align: 'right' },
      { title: 'SENT', align: 'right' },
    ],
    migrations.map((migration) => {
      const { report, progress } = migration;
      const percent = progress ? ` ${Math.floor(progress.percent)} %` : '';
      return [
        migration.id,
        migration.vm,
        migration.direction,
        migration.peer,
        report?.mode ?? migration.options?.mode ?? '-',
        migration.state === 'running' ? `${migration.phase ?? 'running'}${percent}` : migration.state,
        report ? formatDuration(report.totalMs) : '-',
        report?.downtimeMs == null ? '-' : formatDuration(report.downtimeMs),
        formatSize(report?.wireBytes ?? progress?.sentBytes ?? 0),
      ];
    }),
  );
}

export function renderMigration(migration: MigrationView): string {
  if (migration.report) return renderReport(migration.report);
  const { progress } = migration;
  const lines = [
    `migration ${migration.id}: ${migration.vm} ${migration.direction}, peer ${migration.peer}, ${migration.phase ?? ''}`,
  ];
  if (progress) {
    lines.push(
      `  ${Math.floor(progress.percent)} %, sent ${formatSize(progress.sentBytes)}, ${formatRate(progress.bytesPerSecond)}, ` +
        `${formatSize(progress.remainingBytes)} left`,
      `  ${progress.verdict.kind}: ${progress.verdict.text}`,
    );
  }
  for (const note of migration.notes) lines.push(`  ${note.level}: ${note.text}`);
  return lines.join('\n');
}

export function renderReport(report: ReportView): string {
  const lines = [
    `migration ${report.id}: ${report.vm} from ${report.from} to ${report.to}, mode ${report.mode}: ${report.outcome}`,
  ];
  if (report.error) {
    const fix = fixOf(report.error);
    lines.push(`  error       ${report.error.message} [${report.error.code}]`);
    if (fix !== undefined) lines.push(`    fix:      ${fix}`);
  }
  if (report.interrupted)
    lines.push('  interrupted a daemon died on the way: what was counted before that is not in here');
  lines.push(`  the VM      is at ${report.owner}`, `  total       ${formatDuration(report.totalMs)}`);
  if (report.finishByMs !== null && report.totalMs > report.finishByMs)
    lines.push(`              later than --finish-by ${formatDuration(report.finishByMs)}`);
  if (report.downtimeMs !== null) {
    const verifyMs = report.downtimeParts?.verify ?? 0;
    const verified = verifyMs > 0 ? `, of that ${formatDuration(verifyMs)} for --verify` : '';
    lines.push(
      `  downtime    ${formatDuration(report.downtimeMs)} (± ${formatDuration(report.clockUncertaintyMs)})${verified}`,
      ...excessLines(report, report.downtimeMs - verifyMs),
    );
  }
  if (report.downtimeParts) {
    const parts = report.downtimeParts;
    for (const [key, title] of Object.entries(PART_TITLES)) {
      const ms = parts[key as keyof typeof PART_TITLES];
      if (key !== 'verify' || ms > 0) lines.push(`    ${title.padEnd(10)}${ms.toFixed(2).padStart(9)} ms`);
    }
  }
  lines.push(
    `  sent        ${formatSize(report.wireBytes)} on the wire for ${formatSize(report.ramBytes)} of memory`,
    pagesLine(report),
  );
  lines.push(...diskLines(report));
  if (report.packing) lines.push(...packingLines(report.packing));
  if (report.tracker.groups) lines.push(trackerLine(report.tracker.groups));
  if (report.tracker.reason !== null) lines.push(`              ${report.tracker.reason}`);
  if (report.throttle.activeMs > 0) {
    lines.push(
      `  throttle    up to ${report.throttle.maxPercent} % for ${formatDuration(report.throttle.activeMs)} (${report.throttle.mechanism})`,
    );
  }
  if (report.rounds.length > 0) lines.push('  rounds', roundsTable(report));
  if (report.prediction) lines.push(...predictionLines(report.prediction));
  if (report.postCopy) {
    const { missingPages, faults, faultMicrosecondsP50, faultMicrosecondsP99, pushedPages, residentMs, reconnects } =
      report.postCopy;
    lines.push(
      `  post-copy   ${missingPages} pages missing at the switchover, all there after ${formatDuration(residentMs)}`,
      `              ${faults} faults (p50 ${Math.round(faultMicrosecondsP50)} µs, p99 ${Math.round(faultMicrosecondsP99)} µs), ` +
        `${pushedPages} pages pushed, ${reconnects} reconnects`,
    );
  }
  if (report.announcements !== null) lines.push(`  announced   by ${report.announcements} frames of this host`);
  for (const { hook, ms, problem } of report.hooks) {
    lines.push(`  hook        ${hook}, ${formatDuration(ms)}${problem === null ? '' : `: FAILED: ${problem}`}`);
  }
  if (report.verify) {
    const { equal, pages, scheme } = report.verify;
    lines.push(`  verify      ${equal ? 'equal' : 'DIFFERENT'}: ${pages} pages (${scheme})`);
  }
  return lines.join('\n');
}

export function renderCheck(name: string, to: string, check: CheckResult): string {
  const lines = [check.ok ? `VM ${name} can be migrated to ${to}.` : `VM ${name} cannot be migrated to ${to}:`];
  for (const blocker of check.blockers) lines.push(`  ${blocker.what}: ${blocker.reason}`, `    fix: ${blocker.fix}`);
  for (const note of check.notes) lines.push(`  note: ${note}`);
  const prediction = check.ok ? PredictionSchema.safeParse(check.facts['prediction']).data : undefined;
  if (prediction) {
    const { totalMs, downtimeMs, bytes } = prediction;
    const about = `about ${formatDuration(totalMs.expected)} (${renderRange(totalMs)})`;
    lines.push(`  it would take ${about} and ${formatSize(bytes.expected)}, downtime ${renderRange(downtimeMs)}`);
  }
  return lines.join('\n');
}

/** Why the VM stood still for longer than it was meant to, if it did. */
function excessLines({ downtimeLimitMs, postCopy, rounds }: ReportView, downtimeMs: number): string[] {
  if (downtimeLimitMs === null || downtimeMs <= downtimeLimitMs) return [];
  const rule = rounds.at(-1)?.rule;
  const why =
    rule === undefined || rule === 'V3-fixed-costs' || postCopy !== null
      ? 'a switchover alone takes so long here, a lower limit changes nothing'
      : rule === 'deadline'
        ? 'the time was up, and --on-timeout pause asked for it'
        : 'it took longer than was predicted when the VM was stopped';
  return [`              above the limit of ${formatDuration(downtimeLimitMs)}: ${why}`];
}

function pagesLine({ pages }: ReportView): string {
  const { total, hole, zero, sent, resent } = pages;
  return `  pages       ${total} in all: ${sent} sent, of these ${resent} more than once, ${zero} zero, ${hole} never touched`;
}

/** What each step saved, if it saved anything. */
function packingLines(packing: NonNullable<ReportView['packing']>): string[] {
  const { unchangedPages, duplicateSavedBytes, deltaPages, deltaSavedBytes } = packing;
  const { compressedFromBytes, compressedToBytes } = packing;
  const savings = [
    unchangedPages > 0 ? `${formatSize(unchangedPages * PAGE_SIZE)} unchanged` : '',
    duplicateSavedBytes > 0 ? `${formatSize(duplicateSavedBytes)} that was there already` : '',
    deltaPages > 0 ? `${formatSize(deltaSavedBytes)} by deltas of ${deltaPages} pages` : '',
    compressedFromBytes > 0
      ? `${formatSize(compressedFromBytes - compressedToBytes)} by compressing ${formatSize(compressedFromBytes)}`
      : '',
  ].filter((saving) => saving !== '');
  return savings.length === 0 ? [] : [`  saved       ${savings.join(', ')}`];
}

function trackerLine(groups: NonNullable<ReportView['tracker']['groups']>): string {
  const { setting, smallestPages, largestPages, faults, pacedFaults } = groups;
  const sizes = smallestPages === largestPages ? `${largestPages}` : `${smallestPages} to ${largestPages}`;
  const waited = pacedFaults > 0 ? `, ${pacedFaults} made to wait` : '';
  return `  tracker     groups:${setting}, of ${sizes} pages: ${faults} write faults${waited}`;
}

const MOMENTS = {
  start: 'at the start',
  firstPass: 'in the first pass',
  round1: 'after round 1',
  round2: 'after round 2',
} as const;

/** What was predicted when, and how far from what came. */
function predictionLines({ made }: NonNullable<ReportView['prediction']>): string[] {
  return made.map(({ moment, totalMs, downtimeMs, errorPercent }, index) => {
    const error = errorPercent?.totalMs ?? null;
    const off = error === null ? '' : ` (${error >= 0 ? '+' : '-'}${Math.abs(error).toFixed(0)} %)`;
    const ranges = `${renderRange(totalMs)} in all${off}, downtime ${renderRange(downtimeMs)}`;
    return `  ${index === 0 ? 'predicted' : '         '}   ${MOMENTS[moment]}: ${ranges}`;
  });
}

function roundsTable(report: ReportView): string {
  return renderTable(
    [
      { title: '#', align: 'right' },
      { title: 'pages', align: 'right' },
      { title: 'sent', align: 'right' },
      { title: 'time', align: 'right' },
      { title: 'memory/s', align: 'right' },
      { title: 'dirty', align: 'right' },
      { title: 'ratio', align: 'right' },
      { title: 'throttle', align: 'right' },
      { title: 'rule' },
    ],
    report.rounds.map((round) => [
      String(round.number),
      String(round.pages),
      formatSize(round.bytes),
      formatDuration(round.ms),
      formatRate(round.transmissionPagesPerSecond * PAGE_SIZE),
      formatRate(round.modificationPagesPerSecond * PAGE_SIZE),
      round.ratio >= 1000 ? '>1000' : round.ratio.toFixed(1),
      `${Math.round(round.throttlePercent)} %`,
      round.rule,
    ]),
    '    ',
  );
}
