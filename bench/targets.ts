/**
 * What was promised, compared with what was measured (docs/performance.md).
 *
 * Must hold: a target whose numbers were not measured is left out, never met. It says; it never fails the bench.
 */

import { median } from '../src/base/statistics.ts';
import { FINISH_BY_CASE } from './prediction.ts';
import { MOMENTS, type Moment, scorePredictions } from './prediction-table.ts';
import type { Results } from './results.ts';
import { GUEST_MEMORY_MEBIBYTES } from './workloads.ts';

interface Target {
  readonly claim: string;
  /** NaN when something is missing. */
  measure(results: Results): number;
  readonly limit: number;
  /** Less is worse. */
  readonly isLeast?: boolean;
}

const DATA = 'data@1gbit';
const UNSHAPED = 'data@unshaped';
const NON_CONVERGING = 'non-converging@1gbit';
const GROUP = 'group@1gbit';
/** What QEMU's own migration is measured with. */
const MODES = [
  'pre-copy',
  'pre-copy-50ms',
  'multifd',
  'multifd-zstd',
  'multifd-zstd-6',
  'xbzrle',
  'auto-converge',
  'post-copy',
];
/** For a daemon with the threads of a migration: 256 MiB and 1 % of the VM's memory. */
const DAEMON_MEGABYTES = ((256 + 0.01 * GUEST_MEMORY_MEBIBYTES) * 2 ** 20) / 1e6;
/** godwit's default `--max-downtime`. */
const MAX_DOWNTIME_MS = 50;

const TARGETS: readonly Target[] = [
  limit('pre-copy: downtime, ms', `${DATA}/godwit-pre-copy/downtimeMs`, 40),
  ratio('pre-copy: downtime ÷ QEMU default', `${DATA}/godwit-pre-copy`, `${DATA}/qemu-pre-copy`, 'downtimeMs', 0.4),
  ratio(
    'pre-copy: downtime ÷ QEMU multifd+zstd',
    `${DATA}/godwit-pre-copy`,
    `${DATA}/qemu-multifd-zstd`,
    'downtimeMs',
    1,
  ),
  limit('post-copy: downtime, ms', `${DATA}/godwit-post-copy/downtimeMs`, 15),
  limit(
    'pre-copy of a non-converging VM: downtime, ms',
    `${NON_CONVERGING}/godwit-pre-copy/downtimeMs`,
    MAX_DOWNTIME_MS,
  ),
  limit('auto, non-converging VM: downtime, ms', `${NON_CONVERGING}/godwit-auto/downtimeMs`, 50),
  ratio(
    'auto, non-converging VM: total ÷ QEMU auto-converge',
    `${NON_CONVERGING}/godwit-auto`,
    `${NON_CONVERGING}/qemu-auto-converge`,
    'totalMs',
    0.25,
  ),
  ratio(
    'auto, non-converging VM: total ÷ QEMU post-copy',
    `${NON_CONVERGING}/godwit-auto`,
    `${NON_CONVERGING}/qemu-post-copy`,
    'totalMs',
    1.1,
  ),
  ratio(
    'unshaped, pre-copy: total ÷ QEMU default',
    `${UNSHAPED}/godwit-pre-copy`,
    `${UNSHAPED}/qemu-pre-copy`,
    'totalMs',
    0.6,
  ),
  limit('unshaped, post-copy: fault p50, µs', `${UNSHAPED}/godwit-post-copy/postCopy.faultMicrosecondsP50`, 120),
  limit('unshaped, post-copy: fault p99, µs', `${UNSHAPED}/godwit-post-copy/postCopy.faultMicrosecondsP99`, 500),
  limit('post-copy: fault p99, µs', `${DATA}/godwit-post-copy/postCopy.faultMicrosecondsP99`, 3000),
  ...[DATA, UNSHAPED].flatMap((scenario) => [
    {
      ...limit(
        `${scenario}, post-copy: work in the first second, %`,
        `${scenario}/godwit-post-copy/firstSecondPercent`,
        60,
      ),
      isLeast: true,
    },
    {
      ...ratio(
        `${scenario}, post-copy: work in the first second ÷ QEMU post-copy`,
        `${scenario}/godwit-post-copy`,
        `${scenario}/qemu-post-copy`,
        'firstSecondPercent',
        2,
      ),
      isLeast: true,
    },
  ]),
  limit(
    'a VM that comes back after two minutes: bytes, % of the first time',
    'returning@1gbit/againOfFirstPercent',
    25,
  ),
  limit('a second VM of an image: bytes, % of the first', 'same-image@1gbit/againOfFirstPercent', 35),
  limit('tracking at one round a second: guest work lost, %', 'tracking/words-1s/lostPercent', 5),
  limit(
    'sampling at one window a second, 60 × as often as by default: guest work lost, %',
    'tracking/sampled/lostPercent',
    60,
  ),
  limit('a whole pre-copy, unshaped: guest work lost, %', 'computing@unshaped/godwit-pre-copy/lostPercent', 15),
  ...['idle@1gbit', 'words@1gbit', 'data@1gbit', 'idle@200mbit', 'words@200mbit', 'data@200mbit'].flatMap(
    (scenario) => [
      againstDefault(scenario, 'wireMegabytes', 0.48),
      againstDefault(scenario, 'totalMs', 0.5),
      againstBest(scenario, 'wireMegabytes', limitAgainstBest(scenario)),
      againstBest(scenario, 'totalMs', limitAgainstBest(scenario)),
    ],
  ),
  againstBest(UNSHAPED, 'totalMs', 1),
  ...['random@1gbit', 'random@unshaped'].flatMap((scenario) =>
    ['wireMegabytes', 'totalMs'].map((number) => againstRaw(scenario, number, 1.02)),
  ),
  ...['pre-copy', 'post-copy'].map((mode) =>
    limit(`${mode}: memory of a daemon, MB`, `${DATA}/godwit-${mode}/daemonPeakMegabytes`, DAEMON_MEGABYTES),
  ),
  {
    claim: `--finish-by: runs that met it, of ${FINISH_BY_CASE.moves}`,
    limit: FINISH_BY_CASE.moves,
    isLeast: true,
    measure: countMet,
  },
  ...predicted('at the start', ['start', 'startNewVm', 'startNewLink']),
  ...(['start', 'firstPass', 'round1', 'round2'] as const).flatMap((moment) => predicted(MOMENTS[moment], [moment])),
  ...[20, 50, 80].map((percent) =>
    limit(`throttle ${percent} %: points off what was asked`, `throttle/${percent}/offPoints`, 10),
  ),
  ratio(
    'group of three: downtime of a VM ÷ alone',
    `${GROUP}/godwit-together`,
    `${GROUP}/godwit-alone`,
    'downtimeMs',
    2,
  ),
  limit('shared memory, unshaped: fault p50, µs', 'group@unshaped/godwit-together/faultMicrosecondsP50', 400),
  limit('shared memory: pages sent twice, but for lent ones', `${GROUP}/godwit-together/sentTwice`, 0),
];

/** Lines `met` or `missed`, and the guests of godwit's that came out broken. */
export function renderTargets(results: Results, godwitRuns: readonly string[]): string[] {
  const lines = TARGETS.flatMap((target) => {
    const value = target.measure(results);
    if (Number.isNaN(value)) return [];
    const isMet = target.isLeast ? value >= target.limit : value <= target.limit;
    const bound = `at ${target.isLeast ? 'least' : 'most'} ${Number(target.limit.toFixed(2))}`;
    return [`${isMet ? 'met   ' : 'missed'}  ${target.claim}: ${value.toFixed(2)} (${bound})`];
  });
  const runs = godwitRuns.filter((name) => results.hasRun(name)).map((name) => results.tally(name));
  const count = runs.reduce((sum, tally) => sum + tally.runs, 0);
  if (count === 0) return lines;
  const bad = runs.reduce((sum, { broken, failed, notConverged }) => sum + broken + failed + notConverged, 0);
  return [
    ...lines,
    `${bad === 0 ? 'met   ' : 'missed'}  godwit's guests that came out broken, or not at all: ${bad} of ${count}`,
  ];
}

function limit(claim: string, name: string, most: number): Target {
  return { claim, limit: most, measure: (results) => median(results.samples(name)) };
}

/** A run that did not end has not met it. */
function countMet(results: Results): number {
  const left = results.samples(`${FINISH_BY_CASE.name}/leftMs`);
  const wasTried = left.length > 0 || results.hasRun(FINISH_BY_CASE.name);
  return wasTried ? left.filter((ms) => ms >= 0).length : Number.NaN;
}

function predicted(title: string, moments: readonly Moment[]): Target[] {
  const score = (results: Results) => scorePredictions(results, moments, 'totalMs');
  return [
    { claim: `total time predicted, ${title}: off at the median, %`, limit: 15, measure: (all) => score(all).off },
    {
      claim: `total time predicted, ${title}: runs within the interval, %`,
      limit: 80,
      isLeast: true,
      measure: (all) => score(all).covered,
    },
  ];
}

/** A slow link leaves CPU time for denser packing, and words that change leave little to send. */
function limitAgainstBest(scenario: string): number {
  if (scenario === 'words@200mbit') return 0.7;
  return scenario.endsWith('@200mbit') ? 0.93 : 1;
}

/** What packing costs where it cannot save anything. */
function againstRaw(scenario: string, number: string, most: number): Target {
  const claim = `${scenario}, pre-copy: ${number} ÷ without packing`;
  return ratio(claim, `${scenario}/godwit-pre-copy`, `${scenario}/godwit-raw`, number, most);
}

function againstDefault(scenario: string, number: string, most: number): Target {
  const claim = `${scenario}, pre-copy: ${number} ÷ QEMU default`;
  return ratio(claim, `${scenario}/godwit-pre-copy`, `${scenario}/qemu-pre-copy`, number, most);
}

/** The best of QEMU's modes in this number, of those that were measured. */
function againstBest(scenario: string, number: string, most: number): Target {
  const measure = (results: Results): number => {
    const modes = MODES.map((mode) => median(results.samples(`${scenario}/qemu-${mode}/${number}`)));
    const best = Math.min(...modes.filter((value) => !Number.isNaN(value)));
    const ours = median(results.samples(`${scenario}/godwit-pre-copy/${number}`));
    return Number.isFinite(best) ? ours / best : Number.NaN;
  };
  return { claim: `${scenario}, pre-copy: ${number} ÷ the best of QEMU's modes here`, limit: most, measure };
}

function ratio(claim: string, ours: string, theirs: string, number: string, most: number): Target {
  const measure = (results: Results): number => {
    const other = results.samples(`${theirs}/${number}`);
    return median(results.samples(`${ours}/${number}`)) / median(other);
  };
  return { claim, limit: most, measure };
}
