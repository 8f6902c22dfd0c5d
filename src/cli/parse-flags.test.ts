import { expect, test } from 'vitest';
import { MigrateSchema } from '../api/migration-schema.ts';
import { parseFlags } from './parse-flags.ts';

test.each([
  [{ to: 'b:1', finishByMs: 6000, mode: 'pre-copy' }, '--finish-by: 6000 is not valid: give another mode'],
  [{ to: 'b:1', throttle: { maxPercent: 300 } }, '--throttle-max: 300 is not valid'],
  [{ to: 'b:1', tracker: 'none' }, '--tracker: "none" is not valid'],
])('%j is told by its option', (body, message) => {
  expect(() => parseFlags(MigrateSchema, body)).toThrow(message);
});

test('of several problems each has its option', () => {
  const flags = { to: 'b:1', connections: 99, maxDowntimeMs: -1 };
  const fields = [{ field: '--max-downtime' }, { field: '--connections' }];
  expect(() => parseFlags(MigrateSchema, flags)).toThrow(
    expect.objectContaining({
      details: expect.objectContaining({ problems: fields.map((field) => expect.objectContaining(field)) }),
    }),
  );
});
