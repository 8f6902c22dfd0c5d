/**
 * A fleet as it was at a moment: all that a plan depends on (`godwit fleet record`, `godwit fleet simulate --from`).
 *
 * Must hold: no secret is in it; a file of another version is refused.
 */
import { z } from 'zod';
import { OutlookSchema } from './outlook-schema.ts';

const FIX = 'give a file that `godwit fleet record` has written';
const LabelsSchema = z.record(z.string(), z.string());

export const FleetRecordingSchema = z
  .object({
    recording: z.literal(1, { error: FIX }).describe('Version of this form.'),
    atMs: z.number({ error: FIX }),
    fleet: z
      .object({
        hosts: z.array(
          z.object({
            name: z.string(),
            api: z.string(),
            migration: z.string().nullable(),
            bytesPerSecond: z.number().positive().nullable(),
            takesVms: z.boolean().describe('Also false: it was silent, marked for maintenance, or being evacuated.'),
            labels: LabelsSchema,
          }),
        ),
        links: z.array(
          z.object({
            name: z.string(),
            bytesPerSecond: z.number().positive(),
            between: z.tuple([z.array(z.string()), z.array(z.string())]),
          }),
        ),
        reservations: z
          .array(
            z.object({ from: z.string().nullable(), to: z.string().nullable(), bytesPerSecond: z.number().positive() }),
          )
          .default([])
          .describe('Earlier versions had none.'),
        together: z.array(z.array(z.string())),
        policy: z.object({
          grouping: z.enum(['none', 'pairs', 'representatives']),
          objective: z.enum(['shortest', 'makespan', 'deadline']),
          maxQuietWaitMs: z.number(),
        }),
        vms: z.array(z.object({ pattern: z.string(), labels: LabelsSchema })),
        policies: z.array(
          z.object({
            name: z.string(),
            vms: LabelsSchema,
            hosts: LabelsSchema,
            stays: z.boolean(),
            settings: z.object({
              mode: z.enum(['auto', 'pre-copy', 'post-copy', 'hybrid']).optional(),
              onTimeout: z.enum(['post-copy', 'cancel', 'pause']).optional(),
              verify: z.boolean().optional(),
              bandwidthBytesPerSecond: z.number().optional(),
              maxDowntimeMs: z.number().optional(),
              timeoutMs: z.number().optional(),
            }),
          }),
        ),
      })
      .describe('As the fleet file says, without what is secret.'),
    outlooks: z.array(OutlookSchema).describe('Of hosts that were silent: what they told last.'),
  })
  .meta({ id: 'FleetRecording', description: 'A fleet as it was at a moment.' });

export type FleetRecording = z.output<typeof FleetRecordingSchema>;
