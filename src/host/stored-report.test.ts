import { expect, test } from 'vitest';
import { sampleReport } from '../../test/support/scripted-engine.ts';
import { renderMigration, renderMigrationList } from '../cli/report-view.ts';
import type { MigrationReport } from '../migration/report.ts';
import { NOTHING_PACKED } from '../transfer/packing.ts';
import { viewOfReport } from './migration-view.ts';
import { parseStoredReport } from './stored-report.ts';

/** With everything that a report can have. */
const FULL = sampleReport({
  packing: { ...NOTHING_PACKED, deltaPages: 3 },
  tracker: {
    kind: 'groups',
    reason: null,
    groups: { setting: 'auto', smallestPages: 1, largestPages: 4, faults: 9, pacedFaults: 0 },
  },
  prediction: { actual: null, made: [] },
  postCopy: {
    missingPages: 9,
    faults: 4,
    faultMicrosecondsP50: 80,
    faultMicrosecondsP99: 500,
    pushedPages: 5,
    residentMs: 40,
    reconnects: 0,
  },
  verify: { scheme: 'xxh3-128', pages: 9, equal: true },
});

function store(report: unknown): MigrationReport {
  return parseStoredReport(JSON.stringify(report));
}

test('a report of this version is what it was', () => {
  expect(store(FULL)).toEqual(FULL);
});

test.each([
  'finishByMs',
  'downtimeLimitMs',
  'packing',
  'tracker',
  'prediction',
  'postCopy',
  'verify',
] as const)('one of a version without %s has nothing to say there, and can be shown', (field) => {
  const { [field]: _, ...earlier } = FULL;
  const report = store(earlier);
  expect(report).toEqual({ ...FULL, [field]: field === 'tracker' ? sampleReport().tracker : null });
  const view = viewOfReport(report, 'a');
  expect(renderMigration(view)).toContain('migration m1: web1 from a to b, mode auto: completed');
  expect(renderMigrationList([view])).toContain('m1  web1');
});

test('counts that an earlier version did not have are 0, those that it had stay', () => {
  const { duplicatePages: _a, duplicateSavedBytes: _b, missedReferences: _c, ...packing } = FULL.packing!;
  expect(store({ ...FULL, packing })).toEqual(FULL);
});

test('what a later version adds is left out', () => {
  expect(store({ ...FULL, colour: 'red', packing: { ...FULL.packing, magic: 1 } })).toEqual(FULL);
});

test('a prediction and a tracker of another kind are nothing known', () => {
  const report = store({ ...FULL, prediction: { made: [{ moment: 'noon' }] }, tracker: { kind: 'hardware' } });
  expect(report).toEqual({ ...FULL, prediction: null, tracker: sampleReport().tracker });
});

test.each([
  ['text', '{"id": "m1'],
  ['null', 'null'],
  ['an array', '[]'],
  ['another document', '{"id": "m1", "vm": "web1"}'],
])('%s is no report', (_what, text) => {
  expect(() => parseStoredReport(text)).toThrow();
});
