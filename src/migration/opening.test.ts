import { expect, test } from 'vitest';
import { parseHostPort } from '../api/listen.ts';
import type { GodwitError } from '../base/errors.ts';
import { parseAddress } from './opening.ts';

const PARSERS = [
  ['parseHostPort', parseHostPort],
  ['parseAddress', parseAddress],
] as const;

test.each(PARSERS)('%s takes host names that DNS can have, and names the field of longer ones', (_name, parse) => {
  const longest = 'x'.repeat(253);
  expect(parse(`${longest}:7710`, 'to')).toEqual({ host: longest, port: 7710 });
  let error: GodwitError | undefined;
  try {
    parse(`${'x'.repeat(5000)}:7710`, 'to');
  } catch (thrown) {
    error = thrown as GodwitError;
  }
  expect(error).toMatchObject({
    code: 'GW_INPUT_INVALID',
    details: { field: 'to', fix: expect.stringContaining('at most 253 bytes') },
  });
  expect(error!.message.length).toBeLessThan(300);
});
