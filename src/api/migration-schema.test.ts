import { expect, test } from 'vitest';
import { sampleProgress, sampleReport } from '../../test/support/scripted-engine.ts';
import { hasCode } from '../base/errors.ts';
import { DEFAULT_MIGRATION_OPTIONS } from '../migration/request.ts';
import { parseInput } from './input-error.ts';
import { MigrateSchema, OptionsSchema, ProgressSchema, ReportSchema, TuneSchema } from './migration-schema.ts';

test('the schemas take what the engine makes, without loss', () => {
  const report = sampleReport({ error: { code: 'GW_WIRE_CLOSED', message: 'cut', details: { peer: 'b' } } });
  expect(ReportSchema.parse(report)).toEqual(report);
  expect(ProgressSchema.parse(sampleProgress())).toEqual(sampleProgress());
  expect(OptionsSchema.parse(DEFAULT_MIGRATION_OPTIONS)).toEqual(DEFAULT_MIGRATION_OPTIONS);
});

test('a migration needs nothing but where to', () => {
  expect(parseInput(MigrateSchema, { to: 'b' })).toEqual({ to: 'b' });
});

test.each([
  [{}, 'to', 'give HOST:PORT of the other host, or its name in the `peers` of the config'],
  [{ to: 'b', mode: 'warp' }, 'mode', 'give one of auto, pre-copy, post-copy, hybrid'],
  [{ to: 'b', maxDowntimeMs: 0 }, 'maxDowntimeMs', 'give milliseconds from 0.1 to 600000'],
  [
    { to: 'b', bandwidthBytesPerSecond: -1 },
    'bandwidthBytesPerSecond',
    'give bytes a second from 0 (unlimited) to 1e12',
  ],
  [{ to: 'b', onTimeout: 'panic' }, 'onTimeout', 'give one of post-copy, cancel, pause'],
  [{ to: 'b', timeoutMs: 1.5 }, 'timeoutMs', 'give milliseconds from 0 (never) to 30 days'],
  [{ to: 'b', verify: 'yes' }, 'verify', 'give true or false'],
  [{ to: 'b', throttle: { maxPercent: 100 } }, 'throttle.maxPercent', 'give a whole percentage from 0 to 99'],
  [{ to: 'b', tracker: 'groups:0' }, 'tracker', 'give kernel, groups, groups:auto, or groups:N with 1 to 4096 pages'],
])('refuses %j naming field and fix', (body, field, fix) => {
  expect(() => parseInput(MigrateSchema, body)).toThrow(
    expect.objectContaining({ details: expect.objectContaining({ field, fix }) }),
  );
});

test('tune needs one of its limits', () => {
  expect(parseInput(TuneSchema, { maxDowntimeMs: 20 })).toEqual({ maxDowntimeMs: 20 });
  expect(parseInput(TuneSchema, { timeoutMs: 0 })).toEqual({ timeoutMs: 0 });
  expect(() => parseInput(TuneSchema, {})).toThrow(expect.toSatisfy((error) => hasCode(error, 'GW_INPUT_INVALID')));
});
