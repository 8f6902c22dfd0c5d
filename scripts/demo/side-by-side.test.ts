import { expect, test } from 'vitest';
import { sampleReport } from './sample-report.ts';
import { downtimeButForVerify, renderSideBySide } from './side-by-side.ts';

const PAGED = {
  missingPages: 72_000,
  faults: 40,
  faultMicrosecondsP50: 80.4,
  faultMicrosecondsP99: 900.6,
  pushedPages: 71_000,
  residentMs: 5000,
  reconnects: 0,
};

test('both reports stand in columns of one width', () => {
  const lines = renderSideBySide([
    sampleReport(),
    sampleReport({ from: 'b', owner: 'a', mode: 'post-copy', postCopy: PAGED }),
  ]);
  expect(lines[0]).toMatch(/a → b, pre-copy +b → a, post-copy$/);
  expect(lines.find((line) => line.startsWith('total time'))).toMatch(/1\.2 s +1\.2 s$/);
  expect(lines.find((line) => line.startsWith('  a fault took'))).toMatch(/ - +80 µs, 901 µs$/);
  expect(lines.find((line) => line.startsWith('pages missing'))).toMatch(/ 0 +72000$/);
  expect(new Set(lines.map((line) => line.length)).size).toBe(1);
});

test('the time for the digests is told apart from the rest of the downtime', () => {
  expect(downtimeButForVerify(sampleReport())).toBe(18);
  expect(renderSideBySide([sampleReport()]).find((line) => line.startsWith('downtime but'))).toMatch(/18\.00 ms$/);
});

test('a migration that did not move the VM has no downtime', () => {
  const failed = { ...sampleReport({ outcome: 'failed' }), downtimeMs: null, downtimeParts: null, verify: null };
  const lines = renderSideBySide([failed]);
  expect(downtimeButForVerify(failed)).toBeNull();
  expect(lines.find((line) => line.startsWith('downtime '))).toMatch(/ -$/);
});
