/** Balancing as the controller's API speaks of it: which VMs would leave busy hosts, and why. */
import { z } from 'zod';
import { flag, strictObject } from './field.ts';
import { NameSchema } from './vm-schema.ts';

export const BalanceBodySchema = strictObject({
  dryRun: flag().optional().describe('Only say what would be moved. Default: false.'),
  to: NameSchema.optional().describe('Only to this host, such as a new one.'),
}).meta({ id: 'BalanceRequest' });
export type BalanceBody = z.output<typeof BalanceBodySchema>;

export const BalanceSchema = z
  .object({
    atMs: z.number(),
    dryRun: z.boolean(),
    hosts: z
      .array(
        z.object({
          host: z.string(),
          cpuPart: z.number().nullable(),
          memoryPart: z.number().nullable(),
          load: z.number().nullable().describe('The higher of both, each relative to its threshold; null: not known.'),
          verdict: z.enum(['busy', 'calm', 'between', 'resting', 'unknown']),
        }),
      )
      .describe('`busy` from 1 on until it is `calm` again; `resting`: it was balanced just before.'),
    moves: z.array(z.object({ vm: z.string(), from: z.string(), to: z.string(), text: z.string() })),
    words: z.array(z.string()),
    evacuations: z.array(z.string()).describe('Ids of what was begun for this.'),
  })
  .meta({ id: 'Balance' });
export type BalanceView = z.output<typeof BalanceSchema>;
