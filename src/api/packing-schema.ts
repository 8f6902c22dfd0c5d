/** What the steps that make pages smaller did, as reports have it. */
import { z } from 'zod';

export const PackingSchema = z
  .object({
    unchangedPages: z.number(),
    duplicatePages: z.number(),
    duplicateSavedBytes: z.number(),
    missedReferences: z.number(),
    deltaPages: z.number(),
    deltaSavedBytes: z.number(),
    compressedFromBytes: z.number(),
    compressedToBytes: z.number(),
    compareMs: z.number(),
    compressMs: z.number(),
  })
  .nullable()
  .describe('What the steps that make pages smaller did; null at the destination.');
