/** Fields that several parts of the fleet file have. */
import { z } from 'zod';
import { meaning, text } from '../api/field.ts';
import { readSecret } from '../api/text-file.ts';
import { parseRate } from '../base/units.ts';

const RATE_FIX = 'give a rate such as 10Gbit/s';
const LABELS_FIX = 'give labels such as {tier: db}';

type RateField = z.ZodType<number, string>;

export function rate(): RateField {
  return meaning(text(RATE_FIX), RATE_FIX, (given) => parseRate(given, 'rate'));
}

/** Of a port or a link: it is divided among migrations, and what has no end cannot be. */
export function limit(): RateField {
  return rate().refine((bytesPerSecond) => bytesPerSecond > 0, { error: RATE_FIX });
}

export function labels(): z.ZodRecord<z.ZodString, z.ZodString> {
  return z.record(z.string(), text(LABELS_FIX), { error: LABELS_FIX });
}

/** @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID */
export function tokenFrom(field: string, path: string): string {
  return readSecret({ field, path, fix: 'put the token of that host into the file' });
}
