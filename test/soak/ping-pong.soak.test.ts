/**
 * A hundred migrations in each mode, there and back, each verified by digests on both sides and judged from outside.
 *
 * `npm run test:soak`; GODWIT_SOAK_COUNT=20 for fewer, GODWIT_SOAK_MODES=post-copy,hybrid for some. A line for each
 * migration and a summary go to stdout; the status is not zero after any failure.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { ReportView } from '../../src/api/migration-schema.ts';
import { MIGRATION_MODES, type MigrationMode } from '../../src/migration/request.ts';
import { requireCapability } from '../support/capability.ts';
import { completedReport, createTinyVm, HostPair, openTinyGuest } from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { listMarks, nothingRemains } from '../support/traces.ts';

checkLeaks();

const VM = 'ping-pong';
const COUNT = Number(process.env['GODWIT_SOAK_COUNT'] ?? 100);
const MODES = (process.env['GODWIT_SOAK_MODES']?.split(',') ?? MIGRATION_MODES) as MigrationMode[];
const HOOK_TIMEOUT_MS = 120_000;
/** As fast as it can, some thousand pages a second, next to nothing: every kind of guest meets every mode. */
const DELAYS = [0, 20_000, 200_000];

interface Trial {
  readonly report: ReportView | null;
  readonly failure: string | null;
}

let pair: HostPair;

requireCapability('vm')('soak', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    // Twice the working range, and over it: contents that stay, and no page that is zero whenever its counter is.
    const fill = { firstPage: FIRST_USABLE_PAGE, pageCount: 8192 };
    await createTinyVm(pair.a, { name: VM, guest: { pageCount: 4096, fill } });
  }, HOOK_TIMEOUT_MS);
  afterAll(() => pair?.[Symbol.asyncDispose](), HOOK_TIMEOUT_MS);

  test.each(MODES)(`${COUNT} migrations by %s, each intact`, async (mode) => {
    const trials: Trial[] = [];
    for (let number = 1; number <= COUNT; number++) {
      const trial = await attempt(mode, DELAYS[number % DELAYS.length]!);
      trials.push(trial);
      say(`${mode} ${number}/${COUNT}: ${trial.failure ?? 'intact'}${describeReport(trial.report)}`);
      // After one that did not even end, the VM may be anywhere.
      if (trial.report === null) break;
    }
    const failed = trials.filter(({ failure }) => failure !== null);
    const downtimes = trials.flatMap(({ report }) => report?.downtimeMs ?? []).sort((a, b) => a - b);
    const totals = trials.flatMap(({ report }) => report?.totalMs ?? []).sort((a, b) => a - b);
    say(
      `${mode}: ${trials.length - failed.length} of ${COUNT} intact; downtime median ${inMs(at(downtimes, 0.5))}, ` +
        `95 % ${inMs(at(downtimes, 0.95))}; total median ${inMs(at(totals, 0.5))}`,
    );
    expect(failed.map(({ failure }) => failure)).toEqual([]);
    expect(trials).toHaveLength(COUNT);
  });
});

async function attempt(mode: MigrationMode, delay: number): Promise<Trial> {
  let report: ReportView | null = null;
  try {
    const { at: source, other } = await pair.locate(VM);
    {
      using guest = await openTinyGuest(source, VM);
      guest.change({ delay });
    }
    const view = await pair.move(VM, { mode, verify: true });
    report = view.report;
    completedReport(view);
    await pair.locate(VM);
    using guest = await openTinyGuest(other, VM);
    await guest.pagesWritten(20);
    const { pid } = await other.client.actOnVm(VM, 'pause');
    const invariant = guest.checkInvariant();
    await other.client.actOnVm(VM, 'resume');
    if (!invariant.ok) return { report, failure: invariant.reason };
    if (report?.verify?.equal !== true) return { report, failure: `verify: ${JSON.stringify(report?.verify)}` };
    const marks = listMarks(pid!);
    if (marks.length > 0) return { report, failure: `left in QEMU: ${marks.join(', ')}` };
    await nothingRemains(source, VM);
    return { report, failure: null };
  } catch (error) {
    return { report, failure: error instanceof Error ? error.message : String(error) };
  }
}

function describeReport(report: ReportView | null): string {
  if (report === null) return '';
  const { downtimeMs, totalMs, rounds, postCopy } = report;
  const faults = postCopy ? `, ${postCopy.missingPages} pages after the move, ${postCopy.faults} faults` : '';
  return `; downtime ${inMs(downtimeMs ?? 0)}, total ${inMs(totalMs)}, ${rounds.length} rounds${faults}`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function at(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

function inMs(ms: number): string {
  return `${ms.toFixed(1)} ms`;
}
