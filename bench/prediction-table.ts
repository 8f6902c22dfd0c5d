/** The results of bench/prediction.ts for people. */
import { FINISH_BY_CASE, PREDICTION_CASES } from './prediction.ts';
import type { Results } from './results.ts';
import { largest, median, smallest } from './statistics.ts';
import { alignColumns } from './table.ts';

const MOMENTS = {
  startNewLink: 'start, link not known',
  startNewVm: 'start, VM not known',
  start: 'start, both known',
  firstPass: 'in the first pass',
  round1: 'after round 1',
  round2: 'after round 2',
} as const;
const VALUES = ['totalMs', 'bytes', 'downtimeMs'] as const;

/** Nothing when nothing was measured. */
export function renderPredictions(results: Results): string[] {
  const rows = Object.entries(MOMENTS).flatMap(([moment, title]) => {
    const off = VALUES.map((value) => samplesOf(results, `${moment}/${value}OffPercent`));
    if (off[0]!.length === 0) return [];
    const cells = VALUES.flatMap((value, index) => {
      const covered = samplesOf(results, `${moment}/${value}Covered`);
      const share = (100 * covered.reduce((sum, each) => sum + each, 0)) / Math.max(1, covered.length);
      return [median(off[index]!).toFixed(1), share.toFixed(0)];
    });
    return [[title, ...cells, String(off[0]!.length)]];
  });
  const titles = VALUES.map((value) => value.replace('Ms', '')).flatMap((value) => [`${value} off %`, 'covered %']);
  const left = results.samples(`${FINISH_BY_CASE.name}/leftMs`);
  return [
    ...(rows.length > 0 ? [`\n${alignColumns([['prediction', ...titles, 'runs'], ...rows])}`] : []),
    ...(left.length > 0 ? [`\n${describeLeft(left)}`] : []),
  ];
}

function describeLeft(left: readonly number[]): string {
  const met = left.filter((ms) => ms >= 0).length;
  const spread = [median(left), smallest(left), largest(left)].map((ms) => (ms / 1000).toFixed(2));
  return `--finish-by: met in ${met} of ${FINISH_BY_CASE.moves} runs, ${spread[0]} s before the time (${spread[1]} to ${spread[2]})`;
}

function samplesOf(results: Results, name: string): number[] {
  return PREDICTION_CASES.flatMap((each) => [...results.samples(`${each.name}/${name}`)]);
}
