/**
 * Predictions as the API speaks of them; part of a migration's progress and of its report.
 */
import { z } from 'zod';

const IntervalSchema = z
  .object({ low: z.number(), expected: z.number(), high: z.number() })
  .describe('Nine of ten actual values are meant to lie between low and high.');

export const PredictionSchema = z.object({
  rounds: IntervalSchema,
  bytes: IntervalSchema,
  totalMs: IntervalSchema,
  downtimeMs: IntervalSchema,
  ending: z.enum(['finish', 'postCopy', 'giveUp']),
});

const actualValues = z.object({
  rounds: z.number().nullable(),
  bytes: z.number().nullable(),
  totalMs: z.number().nullable(),
  downtimeMs: z.number().nullable(),
});

const verdicts = z.object({
  rounds: z.boolean().nullable(),
  bytes: z.boolean().nullable(),
  totalMs: z.boolean().nullable(),
  downtimeMs: z.boolean().nullable(),
});

export const PredictionReportSchema = z.object({
  actual: actualValues.nullable(),
  made: z
    .array(
      z.object({
        moment: z.enum(['start', 'firstPass', 'round1', 'round2']),
        atMs: z.number(),
        ...PredictionSchema.shape,
        errorPercent: actualValues.nullable(),
        covered: verdicts.nullable(),
      }),
    )
    .readonly(),
});
