/** Migrations that wait for each other: what is asked for when one begins, and the word on which all go on. */
import type { z } from 'zod';
import { DEFAULT_HOLD_MS, LONGEST_HOLD_MS } from '../migration/request.ts';
import { integer, list, strictObject, text } from './field.ts';

export const HoldSchema = strictObject({
  atMostMs: integer(1, LONGEST_HOLD_MS, `give milliseconds from 1 to ${LONGEST_HOLD_MS}`)
    .default(DEFAULT_HOLD_MS)
    .describe('Since it is ready; then it goes on by itself.'),
}).describe(
  'Others are to switch over at about the same moment: when it is ready (`isReady` of its progress) it waits, the VM running and not slowed, until `/v1/migrations/actions/go` names it. A deadline, `switch-postcopy` and a cancel end the wait; with mode post-copy there is none where `finishByMs` is given.',
);

export const GoSchema = strictObject({
  ids: list(text('give ids of migrations'), 'give a list of ids of migrations'),
}).meta({ id: 'GoRequest' });
export type GoBody = z.output<typeof GoSchema>;
