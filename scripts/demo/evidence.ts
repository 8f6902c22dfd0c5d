/**
 * Whether the demo showed what it set out to show: a list of claims, each true or not.
 *
 * Must hold: pure; a claim is only true when both the reports and the guest, where it has a say, agree.
 */
import { type Heartbeat, readComplaints, readHeartbeats } from '../../guest/linux/console.ts';
import type { ReportView } from '../../src/api/migration-schema.ts';
import { formatDuration } from '../../src/base/units.ts';
import { downtimeButForVerify } from './side-by-side.ts';

export interface Observations {
  readonly reports: readonly ReportView[];
  /** All that the guest has written, at the end. */
  readonly console: string;
  /** One for each report: where it was to go, and the last heartbeat when it was commanded and some time after. */
  readonly moves: readonly { readonly to: string; readonly before: number; readonly after: number }[];
  /** The guest's answers to `check`: before, between and after the migrations. */
  readonly checks: readonly string[];
  /** Names of the hosts that say they run the VM, at the end. */
  readonly runsOn: readonly string[];
  /** Where it should be then. */
  readonly home: string;
}

export interface Claim {
  readonly isTrue: boolean;
  readonly text: string;
}

export function judge(observed: Observations): Claim[] {
  const beats = readHeartbeats(observed.console);
  return [
    ...observed.reports.map((report, index) => judgeReport(report, observed.moves[index]!.to)),
    judgeHeartbeats(beats, observed),
    judgeChecks(observed.checks),
    judgeErrors(beats, observed.console),
    judgeDigests(observed.reports),
    judgePlace(observed),
  ];
}

function judgeReport(report: ReportView, to: string): Claim {
  const ms = downtimeButForVerify(report);
  const way = `${report.from} → ${to} by ${report.mode}`;
  const isTrue = report.outcome === 'completed' && report.owner === to && ms !== null;
  if (!isTrue) return { isTrue, text: `${way}: ${report.outcome}, ${report.error?.message ?? 'without a downtime'}` };
  const verify = report.downtimeParts?.verify ?? 0;
  const extra = verify > 0 ? `, and ${formatDuration(verify)} to compare all memory` : '';
  return { isTrue, text: `${way}: moved; stood still for ${formatDuration(ms)}${extra}` };
}

function judgeHeartbeats(heartbeats: readonly Heartbeat[], { moves }: Observations): Claim {
  const numbers = heartbeats.map(({ number }) => number);
  const last = numbers.at(-1) ?? 0;
  const gapless = numbers.length === last && numbers.every((number, index) => number === index + 1);
  const wentOn = moves.every(({ before, after }) => after > before);
  const ranges = moves.map(({ to, before, after }) => `${before} → ${after} to ${to}`).join(', ');
  const state = gapless ? 'none missing, none twice' : `${numbers.length} of them came`;
  return { isTrue: gapless && wentOn, text: `heartbeats 1 to ${last}: ${state} (moving: ${ranges})` };
}

function judgeChecks(checks: readonly string[]): Claim {
  const pages = checks.map((answer) => /^check: memory intact, (\d+) pages/.exec(answer)?.[1]);
  const isTrue = pages.length > 0 && pages.every((count) => count !== undefined && count === pages[0]);
  if (isTrue) return { isTrue, text: `memory intact: the guest verified its ${pages[0]} pages ${checks.length} times` };
  return { isTrue, text: `the guest says of its memory: ${checks.join('; ')}` };
}

function judgeErrors(heartbeats: readonly Heartbeat[], console: string): Claim {
  const complaints = readComplaints(console);
  const last = heartbeats.at(-1);
  const isTrue = complaints.length === 0 && last !== undefined && last.errors === 0 && last.checked > 0;
  const counts = `errors=${last?.errors ?? '?'} in ${last?.checked ?? 0} pages checked, ${last?.work ?? 0} rewritten`;
  return { isTrue, text: complaints.length === 0 ? counts : `${counts}; it says: ${complaints[0]}` };
}

function judgeDigests(reports: readonly ReportView[]): Claim {
  const isTrue = reports.every(({ verify }) => verify?.equal === true && verify.pages > 0);
  const pages = reports.map(({ verify }) => verify?.pages ?? 0).join(' and ');
  return { isTrue, text: `--verify: the digests of both hosts ${isTrue ? 'agree' : 'DIFFER'} (${pages} pages)` };
}

function judgePlace({ runsOn, home }: Observations): Claim {
  const isTrue = runsOn.length === 1 && runsOn[0] === home;
  return { isTrue, text: `one owner: the VM runs on ${runsOn.join(' and ') || 'no host'}` };
}
