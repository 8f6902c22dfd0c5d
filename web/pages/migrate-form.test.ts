import { expect, test } from 'vitest';
import { MigrateSchema } from '../../src/api/migration-schema.ts';
import { EMPTY_FORM, readForm } from './migrate-form.ts';

test('an empty form asks for the defaults of the host', () => {
  expect(readForm(EMPTY_FORM, 'b').body).toEqual({ to: 'b', mode: 'auto' });
});

test('all that can be typed makes a request that the API takes', () => {
  const form = {
    ...EMPTY_FORM,
    finishBy: '90s',
    bandwidth: '1Gbit/s',
    maxDowntime: '30ms',
    throttle: false,
    verify: true,
  };
  const { body } = readForm(form, 'b');
  expect(body).toEqual({
    to: 'b',
    mode: 'auto',
    finishByMs: 90_000,
    bandwidthBytesPerSecond: 125_000_000,
    maxDowntimeMs: 30,
    throttle: { enabled: false },
    verify: true,
  });
  expect(MigrateSchema.safeParse(body).success).toBe(true);
});

test.each([
  ['finishBy', 'soon', 'Give a duration'],
  ['bandwidth', 'fast', 'Give a rate'],
  ['maxDowntime', '5', 'Give a duration'],
] as const)('%s: %s is named at its field', (field, value, words) => {
  const { body, wrong } = readForm({ ...EMPTY_FORM, [field]: value }, 'b');
  expect(body).toBeUndefined();
  expect(wrong[field]).toContain(words);
});

test('pre-copy promises no end', () => {
  const { wrong } = readForm({ ...EMPTY_FORM, mode: 'pre-copy', finishBy: '10s' }, 'b');
  expect(wrong.finishBy).toContain('another mode');
});
