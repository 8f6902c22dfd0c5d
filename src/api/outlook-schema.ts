/**
 * What a planner is told of a host: its room, its ways to others, and of each VM how it writes and what is in it (B1–B5).
 */
import { z } from 'zod';
import { PressureSchema } from './fleet-schema.ts';
import { HistorySchema } from './history-schema.ts';

const VisitSchema = z
  .object({
    atMs: z.number(),
    vm: z.string().describe("The VM's UUID."),
    bytesPerSecond: z.number(),
    wholeBytes: z.number(),
    resentBytes: z.number(),
    preparingMs: z.number(),
    fixedDowntimeMs: z.number(),
    endingMs: z.number(),
    pushFactor: z.number(),
  })
  .describe('What one migration has shown of the way.');

const OutlookVmSchema = z.object({
  name: z.string(),
  uuid: z.string(),
  state: z.string(),
  migration: z.string().nullable().describe('Id of the migration that has it.'),
  ramBytes: z.number(),
  dataPages: z.number().describe('Pages of 4 KiB that hold data.'),
  cpus: z.number().nullable().optional().describe('CPUs that it uses, mean of the last minute; null: not known yet.'),
  samples: HistorySchema.shape.samples,
  contents: z
    .string()
    .nullable()
    .describe(
      'Sample of what is in its memory: of one content in 64 its key (8 bytes, float64) and how many pages have it (2 bytes), ' +
        'little-endian, all keys before all counts, in base64. null: it was not looked through yet, or the host has no fleet key.',
    ),
  contentsVersion: z
    .string()
    .nullable()
    .optional()
    .describe(
      'Of the sample: changes with it. Where `contents` is null and this is not, whoever asked has that sample. Not told with `?brief`.',
    ),
  sharedMemory: z.array(z.object({ name: z.string(), bytes: z.number() })).describe('What it shares with other VMs.'),
});

const OutgoingSchema = z.object({
  id: z.string(),
  vm: z.string(),
  to: z.string().describe('Migration address of the other host.'),
  bytesPerSecond: z.number().describe('On the wire now; 0: nothing is known yet.'),
  etaMs: z.number().nullable().describe('Until it is over; null: not known yet.'),
  ramBytes: z.number().describe("Of the VM's memory; 0: not known yet."),
  waitingFor: z
    .string()
    .nullable()
    .optional()
    .describe('What it waits for while it sends nothing: `connection`; null: nothing. Older hosts do not tell.'),
});

export const OutlookSchema = z
  .object({
    host: z.string(),
    migration: z.string().describe('HOST:PORT of the migration port.'),
    memoryBytes: z
      .number()
      .describe('For VMs, with what those that are here, and those on their way to here, have taken.'),
    pressure: PressureSchema.optional(),
    bandwidthBytesPerSecond: z.number().describe('Of all migrations from here together; 0 is unlimited.'),
    ways: z.record(z.string(), z.array(VisitSchema)).describe('By the address that was migrated to; the latest last.'),
    outgoing: z.array(OutgoingSchema).describe('Migrations from here that are under way, whoever has begun them.'),
    vms: z.array(OutlookVmSchema),
    contentsCursor: z
      .string()
      .optional()
      .describe(
        'Who gives it as `contentsAfter` the next time gets only samples that are new. Not told with `?brief`.',
      ),
    contentsLeft: z
      .boolean()
      .optional()
      .describe(
        'Samples were left out because of `contentsLimit`: the next ones are told by the next `contentsAfter`.',
      ),
  })
  .meta({ id: 'Outlook', description: 'What a planner is told of a host.' });

/** What somebody wants to know. */
export interface OutlookQuestion {
  /** Without what is in the VMs' memory. */
  readonly isBrief: boolean;
  /** The cursor of an earlier answer, of which everything is still known. */
  readonly contentsAfter?: string | undefined;
  /** Bytes of samples in one answer; one sample is told in any case. Default: no limit. */
  readonly contentsLimit?: number | undefined;
}

export type OutlookView = z.output<typeof OutlookSchema>;
export type OutlookVm = OutlookView['vms'][number];
