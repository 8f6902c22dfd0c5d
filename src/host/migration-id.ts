/**
 * Migrations by the beginning of their id, as people type them.
 *
 * Must hold: an id that is known as it is given is meant as it is given; a beginning that fits several means none.
 */
import { GodwitError } from '../base/errors.ts';

/** Fewer are more likely a slip than an id. */
const MIN_CHARACTERS = 4;

/** The known id that is meant; what fits none is returned as it is. @throws GW_INPUT_INVALID when it fits several */
export function completeId(given: string, known: Iterable<string>): string {
  const fitting: string[] = [];
  // One that goes on and has a report of an earlier daemon is known twice.
  for (const id of new Set(known)) {
    if (id === given) return id;
    if (given.length >= MIN_CHARACTERS && id.startsWith(given)) fitting.push(id);
  }
  if (fitting.length > 1) {
    throw new GodwitError('GW_INPUT_INVALID', {
      field: 'id',
      value: given,
      fix: `give more of it: ${fitting.slice(0, 4).join(', ')}${fitting.length > 4 ? ' and others' : ''} begin with it`,
    });
  }
  return fitting[0] ?? given;
}
