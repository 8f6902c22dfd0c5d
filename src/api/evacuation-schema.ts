/**
 * Evacuations as the controller's API speaks of them: all VMs of a host, or some, go elsewhere by plan.
 *
 * Must hold: each VM that was to go is accounted for, with what was predicted, what it took, and why it stayed.
 */
import { z } from 'zod';
import { ErrorSchema } from './error-schema.ts';
import { integer, list, strictObject, text } from './field.ts';
import { PredictedSchema } from './fleet-plan-schema.ts';
import { NameSchema } from './vm-schema.ts';

const MAX_MS = 30 * 86_400_000; // a month: longer is a typing mistake

export const EVACUATION_STATES = ['waiting', 'running', 'completed', 'incomplete', 'cancelled', 'failed'] as const;
export const INITIATORS = ['person', 'maintenance', 'balancer', 'newHost'] as const;

export const EvacuateSchema = strictObject({
  from: NameSchema.describe('The host that they leave.'),
  to: NameSchema.optional().describe('All to this host. Default: to where there is room.'),
  vms: list(NameSchema, 'give a list of names of VMs').optional().describe('Only these. Default: all.'),
  skip: list(NameSchema, 'give a list of names of VMs').optional().describe('These stay. Default: none.'),
  together: list(list(NameSchema, 'give names of VMs'), 'give a list of lists of VMs')
    .optional()
    .describe('Those of a list go to one host and switch over at about the same moment, all or none (docs/fleet.md).'),
  deadlineMs: integer(1, MAX_MS, 'give milliseconds from 1 to 30 days')
    .optional()
    .describe('All are to be there in this time.'),
  by: text('give a name')
    .max(100, { error: 'give at most 100 characters' })
    .optional()
    .describe('Who asks, for the records.'),
}).meta({ id: 'EvacuateRequest' });
export type EvacuateBody = z.output<typeof EvacuateSchema>;

export const EvacuatedVmSchema = z.object({
  vm: z.string(),
  state: z
    .enum(['waiting', 'running', 'arrived', 'failed', 'parked', 'stayed', 'left'])
    .describe(
      '`failed`: it is tried again; `parked`: it is not; `stayed`: at the end it is where it was; `left`: at the end it was on its way.',
    ),
  to: z.string().nullable().describe('null: not decided yet.'),
  migration: z
    .string()
    .nullable()
    .describe('Id of its migration at the host that it leaves; null: it is not known, or as long as its group moves.'),
  groupMigration: z
    .string()
    .nullable()
    .default(null)
    .describe('Of a VM that shares memory, while it is on its way: id of the migration of its group.'),
  startsAtMs: z.number().nullable().describe('By the last plan.'),
  startedAtMs: z.number().nullable(),
  endedAtMs: z.number().nullable(),
  attempts: z.number().describe('That have failed.'),
  reason: z
    .string()
    .nullable()
    .describe('Why it waits, was skipped or has stayed, or that somebody else moves it, in words.'),
  predicted: PredictedSchema.nullable().describe('When it began; before, by the last plan.'),
  actual: z
    .object({ bytes: z.number(), totalMs: z.number(), downtimeMs: z.number().nullable() })
    .nullable()
    .describe('Of one that has arrived; null as well where nobody knows any more.'),
});
export type EvacuatedVmView = z.output<typeof EvacuatedVmSchema>;

export const EvacuationSchema = z
  .object({
    id: z.string(),
    from: z.string(),
    to: z.string().nullable(),
    onlyVms: z.array(z.string()).nullable().describe('null: all.'),
    skip: z.array(z.string()).describe('These stay.'),
    together: z.array(z.array(z.string())).describe('Those of a list go together.'),
    deadlineAtMs: z.number().nullable(),
    initiator: z.enum(INITIATORS),
    by: z.string().nullable().describe('Who asked.'),
    state: z
      .enum(EVACUATION_STATES)
      .describe('`waiting`: no controller has taken it up; `incomplete`: some have stayed.'),
    isCancelling: z.boolean(),
    owner: z.string().nullable().describe('Name of the controller that carries it out.'),
    requestedAtMs: z.number(),
    startedAtMs: z.number().nullable(),
    endedAtMs: z.number().nullable(),
    predictedMs: z.number().nullable().describe('By the first plan; null: nothing was to be moved.'),
    predictedEndAtMs: z.number().nullable().describe('By the last plan.'),
    vms: z.array(EvacuatedVmSchema),
    notes: z
      .array(z.object({ atMs: z.number(), text: z.string() }))
      .describe('What happened, in words, the last hundred.'),
    error: ErrorSchema.nullable().describe('Of a failed one: what could not be gone on from.'),
  })
  .meta({ id: 'Evacuation' });
export type EvacuationView = z.output<typeof EvacuationSchema>;

export const FinishedMigrationSchema = z
  .object({
    id: z.string(),
    vm: z.string(),
    from: z.string(),
    to: z.string(),
    evacuation: z.string().nullable(),
    startedAtMs: z.number(),
    outcome: z.enum(['completed', 'failed', 'cancelled', 'refused']),
    error: z.string().nullable(),
    mode: z.string(),
    predicted: PredictedSchema.nullable().describe('By the plan; null: it was not planned here.'),
    actual: z.object({ bytes: z.number(), totalMs: z.number(), downtimeMs: z.number().nullable() }),
  })
  .meta({ id: 'FinishedMigration' });
export type FinishedMigrationView = z.output<typeof FinishedMigrationSchema>;

export const FleetHistorySchema = z
  .object({
    migrations: z.array(FinishedMigrationSchema).describe('Newest first.'),
    evacuations: z.array(EvacuationSchema).describe('Newest first.'),
  })
  .meta({ id: 'FleetHistory' });
export type FleetHistoryView = z.output<typeof FleetHistorySchema>;
