/** What the route files share: the typed server they add routes to, and the errors any route may answer. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { ErrorSchema } from './error-schema.ts';

export type Routes = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** Every answer other than success. */
export const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema };

export const NameParams = z.object({ name: z.string() });
export const IdParams = z.object({ id: z.string() });
const LIMIT_FIX = 'give a whole number from 1 to 1000';
/** `?limit`: how many at most. */
export const limitParam = z.coerce
  .number({ error: LIMIT_FIX })
  .int({ error: LIMIT_FIX })
  .min(1, { error: LIMIT_FIX })
  .max(1000, { error: LIMIT_FIX })
  .default(100);
/** `?flag`, `?flag=true` or `?flag=1`. */
export const switchParam = z
  .enum(['', 'true', '1', 'false', '0'], { error: 'give true or false' })
  .optional()
  .transform((value) => value !== undefined && value !== 'false' && value !== '0');
