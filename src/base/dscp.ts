/**
 * Marks of packets (DSCP) as people write them: a number from 0 to 63, or the name of a class.
 *
 * Owns: the names (RFC 2474, 2597, 3246, 5865, 8622).
 */
import { GodwitError } from './errors.ts';

const CLASS_SELECTORS = [0, 1, 2, 3, 4, 5, 6, 7].map((class_): [string, number] => [`cs${class_}`, 8 * class_]);
const ASSURED = [1, 2, 3, 4].flatMap((class_) =>
  [1, 2, 3].map((drop): [string, number] => [`af${class_}${drop}`, 8 * class_ + 2 * drop]),
);
const NAMES: ReadonlyMap<string, number> = new Map([
  ['df', 0],
  ['le', 1],
  ...CLASS_SELECTORS,
  ...ASSURED,
  ['va', 44],
  ['ef', 46],
]);

export const DSCP_FIX = 'give a number from 0 to 63, or a name such as le, cs1 or af11';

/** `8`, `cs1` → 8. Throws GW_INPUT_INVALID naming `field`. */
export function parseDscp(text: string, field: string): number {
  const mark = NAMES.get(text.toLowerCase()) ?? (/^\d{1,2}$/.test(text) ? Number(text) : Number.NaN);
  if (mark <= 63) return mark;
  throw new GodwitError('GW_INPUT_INVALID', { field, value: text, fix: DSCP_FIX });
}
