/** The results of bench/prediction.ts for people. */

import { median } from '../src/base/statistics.ts';
import { FINISH_BY_CASE, PREDICTION_CASES } from './prediction.ts';
import type { Results } from './results.ts';
import { largest, smallest } from './statistics.ts';
import { alignColumns } from './table.ts';

export const MOMENTS = {
  startNewLink: 'start, link not known',
  startNewVm: 'start, VM not known',
  start: 'start, both known',
  firstPass: 'in the first pass',
  round1: 'after round 1',
  round2: 'after round 2',
} as const;
const VALUES = ['totalMs', 'bytes', 'downtimeMs'] as const;
export type Moment = keyof typeof MOMENTS;

/** Nothing when nothing was measured. */
export function renderPredictions(results: Results): string[] {
  const rows = Object.entries(MOMENTS).flatMap(([moment, title]) => {
    const [total, ...others] = VALUES.map((value) => scorePredictions(results, [moment as Moment], value));
    if (total!.runs === 0) return [];
    const cells = [total!, ...others].flatMap(({ off, covered }) => [off.toFixed(1), covered.toFixed(0)]);
    return [[title, ...cells, String(total!.runs)]];
  });
  const titles = VALUES.map((value) => value.replace('Ms', '')).flatMap((value) => [`${value} off %`, 'covered %']);
  const left = results.samples(`${FINISH_BY_CASE.name}/leftMs`);
  return [
    ...(rows.length > 0 ? [`\n${alignColumns([['prediction', ...titles, 'runs'], ...rows])}`] : []),
    ...(left.length > 0 ? [`\n${describeLeft(left)}`] : []),
  ];
}

/** Over all cases: how far off at the median, and how many of a hundred were within the interval; NaN without runs. */
export function scorePredictions(
  results: Results,
  moments: readonly Moment[],
  value: (typeof VALUES)[number],
): { readonly off: number; readonly covered: number; readonly runs: number } {
  const off = moments.flatMap((moment) => samplesOf(results, `${moment}/${value}OffPercent`));
  const covered = moments.flatMap((moment) => samplesOf(results, `${moment}/${value}Covered`));
  const share = (100 * covered.reduce((sum, each) => sum + each, 0)) / covered.length;
  return { off: median(off), covered: share, runs: off.length };
}

function describeLeft(left: readonly number[]): string {
  const met = left.filter((ms) => ms >= 0).length;
  const spread = [median(left), smallest(left), largest(left)].map((ms) => (ms / 1000).toFixed(2));
  return `--finish-by: met in ${met} of ${FINISH_BY_CASE.moves} runs, ${spread[0]} s before the time (${spread[1]} to ${spread[2]})`;
}

function samplesOf(results: Results, name: string): number[] {
  return PREDICTION_CASES.flatMap((each) => [...results.samples(`${each.name}/${name}`)]);
}
