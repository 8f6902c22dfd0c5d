/** The body of every answer that is not a success: an error of the table in docs/errors.md. */
import { z } from 'zod';

export const ErrorSchema = z
  .object({
    code: z.string().describe('One of the codes in docs/errors.md.'),
    message: z.string().describe('For people; nothing may decide by it.'),
    details: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Error' });
