/**
 * A migration's report as it was written to disk, by this version or another one.
 *
 * Must hold: what comes out has every field, and what another version did not write is told as nothing known; a document
 * that is no report is an error of its own, and never one of who reads the report later.
 */
import { parseInput } from '../api/input-error.ts';
import { ReportSchema } from '../api/migration-schema.ts';
import { type MigrationReport, NOTHING_TRACKED } from '../migration/report.ts';
import { NOTHING_PACKED } from '../transfer/packing.ts';

/** Fields that a report may lack, as they are in one of a migration that had nothing to say there. */
const NOTHING_KNOWN: Partial<MigrationReport> = {
  finishByMs: null,
  downtimeLimitMs: null,
  downtimeParts: null,
  disks: [],
  packing: null,
  tracker: NOTHING_TRACKED,
  prediction: null,
  postCopy: null,
  verify: null,
  announcements: null,
  hooks: [],
  interrupted: false,
  clockUncertaintyMs: 0,
};
/** The same for parts of it, where there is such a part. */
const NOTHING_IN_PART = {
  downtimeParts: { verify: 0 },
  packing: NOTHING_PACKED,
  tracker: NOTHING_TRACKED,
  postCopy: { reconnects: 0 },
} as const;
/** Of what is in them another version may have another idea altogether. */
const SCHEMA = ReportSchema.extend({
  prediction: ReportSchema.shape.prediction.catch(null),
  tracker: ReportSchema.shape.tracker.catch(NOTHING_TRACKED),
});

/** @throws SyntaxError, or an `inputError` */
export function parseStoredReport(text: string): MigrationReport {
  const document: unknown = JSON.parse(text);
  const known = isObject(document) ? document : {};
  const parts = Object.entries(NOTHING_IN_PART).flatMap(([name, nothing]) => {
    const part = known[name];
    return isObject(part) ? [[name, { ...nothing, ...part }] as const] : [];
  });
  return parseInput(SCHEMA, { ...NOTHING_KNOWN, ...known, ...Object.fromEntries(parts) }, 'report') as MigrationReport;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
