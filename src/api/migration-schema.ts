/**
 * Migrations as the API speaks of them: requests, the view of one, its progress and its report.
 *
 * Must hold: the schemas describe exactly the engine's types in src/migration (the assignments at the end do not
 * compile otherwise).
 */
import { z } from 'zod';
import { PACKING_STEPS } from '../base/packing-step.ts';
import { MAX_PAGE_CHANNELS } from '../base/page.ts';
import { parseTracker, TRACKER_FORMS } from '../base/tracker-choice.ts';
import type { MigrationProgress } from '../migration/progress.ts';
import type { MigrationReport } from '../migration/report.ts';
import { MIGRATION_MODES, type MigrationOptions, TIMEOUT_ACTIONS } from '../migration/request.ts';
import { DISK_FIELDS, DISK_OPTIONS, DiskProgressSchema, DiskReportSchema, DiskRequestsSchema } from './disk-schema.ts';
import { ErrorSchema } from './error-schema.ts';
import { choice, flag, integer, list, number, strictObject, text } from './field.ts';
import { HoldSchema } from './hold-schema.ts';
import { ORDER_FIELDS } from './order-schema.ts';
import { PackingSchema } from './packing-schema.ts';
import { PredictionReportSchema, PredictionSchema } from './prediction-schema.ts';
import { ThrottleSchema } from './throttle-schema.ts';

const modes = [...MIGRATION_MODES] as ['auto', 'pre-copy', 'post-copy', 'hybrid'];
const packingSteps = [...PACKING_STEPS] as ['unchanged', 'duplicates', 'delta', 'compress'];
const timeoutActions = [...TIMEOUT_ACTIONS] as ['post-copy', 'cancel', 'pause'];
const MAX_MS = 30 * 86_400_000; // a month: longer is a typing mistake
const bandwidth = number(0, 1e12, 'give bytes a second from 0 (unlimited) to 1e12').describe(
  'Bytes a second on the wire; 0 is unlimited. Page faults of a VM that has moved are answered at once, beyond it.',
);
const maxDowntime = number(0.1, 600_000, 'give milliseconds from 0.1 to 600000').describe(
  'The downtime that stop-and-finish may be predicted to take, milliseconds.',
);
const finishBy = integer(0, MAX_MS, 'give milliseconds from 0 (no such promise) to 30 days').describe(
  'Milliseconds from the start until all is over: the last page at the destination, the source released. Post-copy begins in time for that; not with mode pre-copy. 0 is no such promise.',
);
const timeout = integer(0, MAX_MS, 'give milliseconds from 0 (never) to 30 days').describe(
  'Milliseconds from the start until `onTimeout` happens; 0 is never.',
);
export const ToSchema: z.ZodString = text(
  'give HOST:PORT of the other host, or its name in the `peers` of the config',
).describe('Migration address HOST:PORT of the other host, or its name in `peers`.');

export const MigrateSchema = strictObject({
  to: ToSchema,
  mode: choice(modes).optional().describe('Default auto: pre-copy, then throttle, then post-copy as needed.'),
  bandwidthBytesPerSecond: bandwidth.optional(),
  maxDowntimeMs: maxDowntime.optional(),
  timeoutMs: timeout.optional(),
  onTimeout: choice(timeoutActions).optional(),
  finishByMs: finishBy.optional(),
  hold: HoldSchema.optional(),
  verify: flag().optional().describe('Compare digests of all guest memory on both sides.'),
  throttle: ThrottleSchema.optional(),
  connections: integer(0, MAX_PAGE_CHANNELS, `give a number of connections up to ${MAX_PAGE_CHANNELS}, 0 for the best`)
    .optional()
    .describe('Connections that carry pages side by side; 0 is as many as are best.'),
  without: list(choice(packingSteps), 'give an array of steps')
    .optional()
    .describe('Steps that pages do not go through on their way to fewer bytes.'),
  tracker: text(`give ${TRACKER_FORMS}`)
    .refine((value) => parseTracker(value) !== undefined, { error: `give ${TRACKER_FORMS}` })
    .optional()
    .describe(`How written pages are found: ${TRACKER_FORMS}.`),
  ...DISK_FIELDS,
  ...ORDER_FIELDS,
})
  .refine(({ finishByMs = 0, mode }) => finishByMs === 0 || mode !== 'pre-copy', {
    path: ['finishByMs'],
    error: 'give another mode: pre-copy has no end that could be promised, only post-copy has',
  })
  .meta({ id: 'MigrateRequest', description: 'All but `to` has a default (docs/cli.md).' });
export type MigrateBody = z.output<typeof MigrateSchema>;

export const TuneSchema = strictObject({
  bandwidthBytesPerSecond: bandwidth.optional(),
  maxDowntimeMs: maxDowntime.optional(),
  timeoutMs: timeout.optional(),
  onTimeout: choice(timeoutActions).optional(),
  finishByMs: finishBy.optional(),
})
  .refine((body) => Object.values(body).some((value) => value !== undefined), {
    error: 'give bandwidthBytesPerSecond, maxDowntimeMs, timeoutMs, onTimeout or finishByMs',
  })
  .meta({ id: 'TuneRequest' });
export type TuneBody = z.output<typeof TuneSchema>;

export const ProgressSchema = z
  .object({
    phase: z.string(),
    round: z.number(),
    percent: z.number().describe('0 to 100, never falls but where a restarted daemon goes on.'),
    sentBytes: z.number(),
    remainingBytes: z.number(),
    ramBytes: z.number(),
    bytesPerSecond: z.number(),
    dirtyBytesPerSecond: z.number(),
    throttlePercent: z.number(),
    etaMs: z.number().nullable(),
    predictedDowntimeMs: z.number().nullable(),
    prediction: PredictionSchema.nullable().describe('Of the whole migration; null while nothing can be said.'),
    waitingFor: z.string().nullable(),
    isReady: z.boolean().describe('It could switch over, and is held until it is told to go on (`hold`).'),
    disks: z.array(DiskProgressSchema).readonly().describe('Those that are copied.'),
    verdict: z.object({ kind: z.string(), text: z.string() }),
  })
  .meta({ id: 'MigrationProgress' });

export const OptionsSchema = z
  .object({
    mode: z.enum(modes),
    bandwidthBytesPerSecond: z.number(),
    maxDowntimeMs: z.number(),
    finishByMs: z.number(),
    timeoutMs: z.number(),
    onTimeout: z.enum(timeoutActions),
    hold: z.object({ atMostMs: z.number() }).nullable(),
    verify: z.boolean(),
    throttle: z.object({
      enabled: z.boolean(),
      minRatio: z.number(),
      minPagesPerSecond: z.number(),
      historyPagesPerSecond: z.number(),
      maxPercent: z.number(),
    }),
    connections: z.number(),
    without: z.array(z.enum(packingSteps)).readonly(),
    tracker: z.string(),
    ...DISK_OPTIONS,
  })
  .meta({ id: 'MigrationOptions' });

/** Of a downtime; docs/report.md says what each is. */
export const DowntimePartsSchema = z.object({
  stop: z.number(),
  lastRound: z.number(),
  saveState: z.number(),
  transferState: z.number(),
  loadState: z.number(),
  commit: z.number(),
  resume: z.number(),
  verify: z.number(),
});

export const ReportSchema = z
  .object({
    id: z.string(),
    vm: z.string(),
    from: z.string(),
    to: z.string(),
    mode: z.enum(modes),
    outcome: z.enum(['completed', 'failed', 'cancelled', 'refused']),
    error: ErrorSchema.nullable(),
    startedAt: z.number(),
    totalMs: z.number(),
    downtimeMs: z.number().nullable(),
    finishByMs: z.number().nullable().describe('When all was to be over, from the start; null: no promise.'),
    downtimeLimitMs: z.number().nullable().describe('The limit that was asked for, as tuned.'),
    downtimeParts: DowntimePartsSchema.nullable(),
    wireBytes: z.number(),
    ramBytes: z.number(),
    pages: z.object({
      total: z.number(),
      hole: z.number(),
      zero: z.number(),
      sent: z.number(),
      resent: z.number(),
    }),
    disks: z.array(DiskReportSchema).readonly(),
    packing: PackingSchema,
    tracker: z
      .object({
        kind: z.enum(['kernel', 'groups', 'none']),
        reason: z.string().nullable().describe('Why it is not the one that was asked for.'),
        groups: z
          .object({
            setting: z.string(),
            smallestPages: z.number(),
            largestPages: z.number(),
            faults: z.number(),
            pacedFaults: z.number(),
          })
          .nullable(),
      })
      .describe('How the pages that the VM wrote were found.'),
    rounds: z
      .array(
        z.object({
          number: z.number(),
          pages: z.number(),
          bytes: z.number(),
          ms: z.number(),
          transmissionPagesPerSecond: z.number(),
          modificationPagesPerSecond: z.number(),
          ratio: z.number(),
          throttlePercent: z.number(),
          rule: z.string(),
        }),
      )
      .readonly(),
    prediction: PredictionReportSchema.nullable(),
    throttle: z.object({ mechanism: z.string(), maxPercent: z.number(), activeMs: z.number() }),
    postCopy: z
      .object({
        missingPages: z.number(),
        faults: z.number(),
        faultMicrosecondsP50: z.number(),
        faultMicrosecondsP99: z.number(),
        pushedPages: z.number(),
        residentMs: z.number(),
        reconnects: z.number(),
      })
      .nullable(),
    verify: z.object({ scheme: z.string(), pages: z.number(), equal: z.boolean() }).nullable(),
    announcements: z.number().nullable(),
    hooks: z.array(z.object({ hook: z.string(), ms: z.number(), problem: z.string().nullable() })).readonly(),
    diskRequests: DiskRequestsSchema,
    owner: z.string(),
    interrupted: z.boolean(),
    clockUncertaintyMs: z.number(),
  })
  .meta({ id: 'MigrationReport', description: 'What the migration did, measured; docs/report.md.' });

export type ReportView = z.output<typeof ReportSchema>;

export const MIGRATION_STATES = ['running', 'completed', 'failed', 'cancelled', 'refused'] as const;

export const MigrationSchema = z
  .object({
    id: z.string(),
    vm: z.string(),
    direction: z.enum(['outgoing', 'incoming']),
    peer: z.string().describe('Name or address of the other host.'),
    state: z.enum(MIGRATION_STATES),
    phase: z.string().nullable(),
    options: OptionsSchema.nullable().describe('null for a migration of which only the report is left.'),
    progress: ProgressSchema.nullable(),
    notes: z.array(z.object({ level: z.enum(['info', 'warn']), text: z.string() })),
    startedAtMs: z.number(),
    report: ReportSchema.nullable().describe('Present once the migration has ended.'),
  })
  .meta({ id: 'Migration' });
export type MigrationView = z.output<typeof MigrationSchema>;

/** Compiles only as long as the engine's own types say the same as these schemas. */
type Same<Engine extends Api, Api> = Engine extends Api ? true : never;
export const SCHEMAS_MATCH_ENGINE: readonly [
  Same<MigrationProgress, z.output<typeof ProgressSchema>>,
  Same<MigrationReport, z.output<typeof ReportSchema>>,
  Same<MigrationOptions, z.output<typeof OptionsSchema>>,
] = [true, true, true];
