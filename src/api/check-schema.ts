/** A check of what would block a migration, as the API speaks of it. */
import { z } from 'zod';
import { strictObject } from './field.ts';
import { ToSchema } from './migration-schema.ts';

export const CheckSchema = strictObject({ to: ToSchema }).meta({ id: 'CheckRequest' });

export const CheckResultSchema = z
  .object({
    ok: z.boolean(),
    outcome: z
      .enum(['ok', 'refused', 'failed'])
      .describe('How a migration would end now; `failed`: somebody, such as the other host, could not be asked.'),
    blockers: z.array(z.object({ id: z.string(), what: z.string(), reason: z.string(), fix: z.string() })),
    notes: z.array(z.string()),
    facts: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'CheckResult', description: 'What would block a migration, from both hosts.' });
