/** What the VMs of a host have in common, as matrices: what a heat map is drawn from (B2, B3). */
import { z } from 'zod';

const matrix = (what: string) => z.array(z.array(z.number())).describe(what);

const GrainSchema = z.object({
  grainBytes: z.number().describe('Blocks of so many bytes are compared: 4096, 1024, 64.'),
  common: matrix(
    'Bytes of different contents that both VMs have, in the order of `vms`; of a VM with itself all of its contents. Zeros count nowhere.',
  ),
  standardError: matrix('How far off that may be, bytes; 0 where it was counted exactly.'),
  refuted: z.number().describe('Blocks that looked alike and were not when compared byte by byte; 0 of samples.'),
});

export const CommonalitySchema = z
  .object({
    host: z.string(),
    atMs: z.number(),
    isExact: z.boolean().describe('All memory was looked through and compared; else it is estimated from samples.'),
    vms: z.array(z.string()),
    leftOut: z.array(z.object({ vm: z.string(), reason: z.string() })),
    grains: z.array(GrainSchema),
    sameMemory: matrix('Bytes of memory that both map (docs/sharing.md): the same, not equal; in no grain.'),
  })
  .meta({ id: 'Commonality', description: 'What the VMs of a host have in common.' });

export type CommonalityView = z.output<typeof CommonalitySchema>;
