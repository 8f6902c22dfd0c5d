/**
 * Migrations of groups as the API speaks of them: the request, and the view of one with a part for each VM and each region.
 *
 * Owns: their fields. Must hold: a VM's own migration is told in full by /v1/migrations; here is what makes it one of a group.
 */
import { z } from 'zod';
import { ErrorSchema } from './error-schema.ts';
import { choice, list, strictObject } from './field.ts';
import { DowntimePartsSchema, MigrateSchema } from './migration-schema.ts';
import { NameSchema } from './vm-schema.ts';

/** When the VMs of a group begin to move. */
export const GROUP_ORDERS = ['together', 'one-by-one', 'on-access'] as const;
/** Of the orders in which all follow by themselves the one in which VMs wait least (docs/performance.md). */
export const DEFAULT_ORDER: GroupOrder = 'one-by-one';
export type GroupOrder = (typeof GROUP_ORDERS)[number];

const FIRST_FIX = 'give the name of a VM of the group, or a list of them';
const MODES_FIX = 'give an object with the names of VMs and their modes';
const orders = [...GROUP_ORDERS] as ['together', 'one-by-one', 'on-access'];

export const GroupMigrateSchema = MigrateSchema.safeExtend({
  order: choice(orders)
    .optional()
    .describe(
      'When its VMs begin: `one-by-one` (default; each when the one before runs at the other host), `together`, or `on-access`: the first, and each other when it touches shared memory that has gone.',
    ),
  first: z
    .union([NameSchema, list(NameSchema, FIRST_FIX)], { error: FIRST_FIX })
    .optional()
    .describe('The VM that begins, or several in their order; the others follow by name.'),
  modes: z
    .record(NameSchema, MigrateSchema.shape.mode.unwrap(), { error: MODES_FIX })
    .optional()
    .describe('How single VMs move, by name; the others by `mode`.'),
})
  .refine(({ finishByMs = 0, modes = {} }) => finishByMs === 0 || !Object.values(modes).includes('pre-copy'), {
    path: ['modes'],
    error: 'give another mode than pre-copy, which has no end that could be promised (finishByMs)',
  })
  .refine((body) => body.hold === undefined, {
    path: ['hold'],
    error: 'leave it out: when VMs that share memory go is said by `order`',
  })
  .meta({ id: 'GroupMigrateRequest', description: 'As MigrateRequest, for each VM of the group.' });
export type GroupMigrateBody = z.output<typeof GroupMigrateSchema>;

export const GroupFollowSchema = strictObject({
  vm: NameSchema.optional().describe('Only this one; default: all that wait.'),
}).meta({ id: 'GroupFollowRequest', description: 'Which VMs of a group are called to the other host.' });
export type GroupFollowBody = z.output<typeof GroupFollowSchema>;

const StoppingAccessSchema = z.object({
  page: z.number().describe('Number of the page in its region.'),
  region: z.string(),
  ms: z.number().describe('Since the first VM ran at the other host.'),
});

export const GroupMemberSchema = z.object({
  vm: z.string(),
  migration: z.string().nullable().describe('Id of its migration; null before it begins.'),
  state: z.enum(['waiting', 'moving', 'moved', 'failed']),
  downtimeMs: z.number().nullable(),
  downtimeParts: DowntimePartsSchema.nullable()
    .default(null)
    .describe(
      'What the downtime was spent in, as in the report of its migration; null before it has moved, or where that is not known.',
    ),
  stoppedBy: StoppingAccessSchema.nullable().describe('The access to memory that had gone, which stopped it (R4).'),
  attempts: z.number().describe('Migrations that were begun for it.'),
});

const RegionPartSchema = z.object({
  name: z.string(),
  sizeBytes: z.number(),
  pages: z.number(),
  pagesLeft: z.number().describe('Pages that are at the source still.'),
  requestedPages: z.number().describe('Moved because the other host asked (R3).'),
  pushedPages: z.number(),
  lentPages: z.number().describe('Given back to the source for an access of a VM that could not be stopped otherwise.'),
  sentAgainPages: z.number().describe('Sent once more because the link was cut.'),
  wireBytes: z.number(),
  connected: z.boolean(),
});

export const GroupMigrationSchema = z
  .object({
    id: z.string(),
    group: z.string(),
    to: z.string(),
    order: z.enum(orders),
    state: z
      .enum(['preparing', 'moving', 'split', 'completing', 'completed', 'failed', 'cancelled'])
      .describe(
        '`moving`: all VMs run here; `split`: VMs run at both hosts; `completing`: all have moved, the rest of the memory follows.',
      ),
    startedAtMs: z.number(),
    totalMs: z.number().nullable(),
    waitsFor: z
      .string()
      .nullable()
      .default(null)
      .describe('What it waits for now, and what can be done about it; null when it has ended.'),
    members: z.array(GroupMemberSchema),
    regions: z.array(RegionPartSchema),
    notes: z.array(z.string()),
    error: ErrorSchema.nullable(),
  })
  .meta({ id: 'GroupMigration', description: 'VMs that share memory on their way to another host.' });

export type GroupMigrationView = z.output<typeof GroupMigrationSchema>;
export type GroupMemberView = GroupMigrationView['members'][number];
export type GroupRegionView = GroupMigrationView['regions'][number];
