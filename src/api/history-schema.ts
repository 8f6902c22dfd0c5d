/** How a VM has been writing to its memory, as the API shows it (B1). */
import { z } from 'zod';

export const HistorySchema = z
  .object({
    vm: z.string(),
    everyMs: z
      .number()
      .describe('Between two looks at the VM, on average; 0: none are taken, and only its migrations tell.'),
    keepMs: z.number().describe('What is older is forgotten.'),
    memoryBytes: z.number(),
    peakPagesPerSecond: z
      .number()
      .describe('The highest rate of the last hour; what `--throttle-history-rate` is compared with.'),
    samples: z
      .array(
        z.object({
          atMs: z.number().describe('Unix milliseconds.'),
          pagesPerSecond: z.number().describe('Distinct pages of 4 KiB written a second, at full speed.'),
          ms: z.number().nullable().describe('Over how long that was measured; null: not known.'),
          points: z
            .array(
              z.object({
                ms: z.number().describe('Since the look began.'),
                pages: z.number().describe('Distinct pages written until then.'),
              }),
            )
            .describe('How it grew. Empty for what a migration has shown.'),
        }),
      )
      .describe('Oldest first.'),
  })
  .meta({ id: 'History', description: 'How a VM has been writing to its memory.' });

export type HistoryView = z.output<typeof HistorySchema>;
