/** Lists of runs in several parts. */
import { expect, test } from 'vitest';
import { naiveRunListPart } from '../../test/support/naive-wire.ts';
import { thrownBy } from '../../test/support/wire-samples.ts';
import { encodeRunList } from './encoder.ts';
import { MAX_GUEST_PAGES, MAX_RUNS_PER_PART } from './limits.ts';
import { RunListCollector } from './run-list-collector.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const singles = (...pages: number[]) => pages.map((first) => ({ first, count: 1 }));

/** What a fresh collector of a guest of 1000 pages says to these parts. */
function collect(...parts: Uint8Array[]) {
  const collector = new RunListCollector('missingRuns', 1000);
  return thrownBy(() => parts.map((part) => collector.add(part)));
}

test('golden vector', () => {
  const [frame] = [...encodeRunList('missingRuns', [{ first: 2, count: 3 }])];
  expect(frame).toEqual(hex('14000000 43 00 0000  01000000 01 000000  0200000000000000 03000000'));
});

test('an empty list is one part, and complete', () => {
  const frames = [...encodeRunList('stillMissing', [])];
  const collector = new RunListCollector('stillMissing', 10);
  expect(frames).toEqual([hex('08000000 48 00 0000  00000000 01 000000')]);
  expect([collector.complete, collector.add(frames[0]!.subarray(8)), collector.complete]).toEqual([false, true, true]);
  expect([collector.runs, collector.pages]).toEqual([[], 0]);
});

test.each([
  [1, 1],
  [MAX_RUNS_PER_PART - 1, 1],
  [MAX_RUNS_PER_PART, 1],
  [MAX_RUNS_PER_PART + 1, 2],
  [2 * MAX_RUNS_PER_PART, 2],
])('a list of %i runs goes in %i parts and round trips, equal to the naive codec', (size, partCount) => {
  const runs = Array.from({ length: size }, (_, i) => ({ first: i * 9001, count: 1 + (i % 9000) }));
  const collector = new RunListCollector('missingRuns', MAX_GUEST_PAGES);
  const parts = [...encodeRunList('missingRuns', runs)].map((frame) => frame.subarray(8));
  expect(parts.map((part) => collector.add(part))).toEqual([false, true].slice(-partCount));
  expect(collector.pages).toBe(runs.reduce((sum, run) => sum + run.count, 0));
  expect(JSON.stringify(collector.runs)).toBe(JSON.stringify(runs));
  expect(Buffer.compare(parts[0]!, naiveRunListPart(runs.slice(0, MAX_RUNS_PER_PART), partCount === 1))).toBe(0);
});

test.each<[string, Uint8Array[], string]>([
  [
    'a part after the last',
    [naiveRunListPart(singles(1), true), naiveRunListPart(singles(2), true)],
    'it comes after the last part',
  ],
  ['an empty part that is not the last', [naiveRunListPart([], false)], 'a part before the last one is empty'],
  ['a last-part flag of 2', [hex('00000000 02 000000')], 'its last-part flag is neither 0 nor 1'],
  ['reserved bits in a part', [hex('00000000 01 000001')], 'its last-part flag is neither 0 nor 1'],
  [
    'a part that goes back',
    [naiveRunListPart(singles(5), false), naiveRunListPart(singles(4), true)],
    'page 4 is out of order',
  ],
  [
    'a page in two parts',
    [naiveRunListPart(singles(5), false), naiveRunListPart(singles(5), true)],
    'page 5 is out of order',
  ],
  [
    'a page behind the guest',
    [naiveRunListPart(singles(1000), true)],
    'pages 1000 to 1000 do not all exist: the guest has 1000',
  ],
  ['fewer bytes than runs', [naiveRunListPart(singles(1, 2), true).subarray(0, -1)], '31 bytes do not fit 2 runs'],
  ['more bytes than runs', [hex('00000000 01 000000 00')], '9 bytes do not fit 0 runs'],
  ['a run count near 2^32', [hex('ffffffff 01 000000')], '8 bytes do not fit 4294967295 runs'],
])('rejects %s', (_, parts, reason) => {
  expect(collect(...parts)).toEqual({ code: 'GW_WIRE_FRAME_INVALID', reason });
});

test('keeps nothing of a part that it rejects', () => {
  const collector = new RunListCollector('missingRuns', 1000);
  collector.add(naiveRunListPart(singles(1), false));
  thrownBy(() => collector.add(naiveRunListPart(singles(2, 1), true)));
  expect([collector.runs, collector.pages, collector.complete]).toEqual([singles(1), 1, false]);
});
