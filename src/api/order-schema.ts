/**
 * Orders of controllers to hosts, which networks lose, delay and repeat.
 *
 * Must hold: a host that is given one order several times carries it out once; one of a controller that leads no more is refused once
 * the host knows of the one that leads.
 */
import { z } from 'zod';
import { integer, strictObject } from './field.ts';

const ID_FIX = 'give 1 to 64 letters, digits, dots, dashes and underscores, such as a UUID';
const EPOCH_FIX = 'give a whole number from 1';

export const RequestIdSchema = z.string({ error: ID_FIX }).regex(/^[\w.-]{1,64}$/, { error: ID_FIX });

const epoch = integer(1, Number.MAX_SAFE_INTEGER, EPOCH_FIX).describe('Grows each time that another controller leads.');

export const LeaderSchema = strictObject({ fleet: RequestIdSchema.describe('Of the fleet.'), epoch }).describe(
  'The controller that orders it, of those of its fleet. Refused (GW_ORDER_OUTDATED) where the host knows that another leads by now.',
);
export type Leader = z.output<typeof LeaderSchema>;

export const AcknowledgeSchema = strictObject({ epoch });

export const LeadSchema = strictObject({
  atLeast: integer(1, Number.MAX_SAFE_INTEGER - 1, EPOCH_FIX).describe(
    'That hosts know, as they say in GW_ORDER_OUTDATED.',
  ),
}).meta({ id: 'LeadRequest' });
export type LeadBody = z.output<typeof LeadSchema>;

/** What any order may bear. */
export const ORDER_FIELDS = {
  requestId: RequestIdSchema.optional().describe(
    'Of this request: given again, it answers with the migration that it has begun, also after a restart of the daemon.',
  ),
  leader: LeaderSchema.optional(),
};

/** How an order is known again. */
export interface OrderWords {
  readonly requestId?: string | undefined;
  readonly leader?: Leader | undefined;
}
