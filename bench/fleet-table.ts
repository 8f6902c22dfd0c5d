/** The results of the bench's fleets for people. */

import { median } from '../src/base/statistics.ts';
import { FLEET_CASES } from './fleet-evacuation.ts';
import type { Results } from './results.ts';
import { alignColumns } from './table.ts';

/** Empty when none has run. */
export function renderEvacuations(results: Results): string[] {
  const ran = FLEET_CASES.filter(({ name }) => results.hasRun(name));
  if (ran.length === 0) return [];
  const rows = ran.map(({ name }) => {
    const of = (number: string, digits: number, factor = 1): string => {
      const samples = results.samples(`${name}/${number}`);
      return samples.length === 0 ? '–' : (median(samples) * factor).toFixed(digits);
    };
    const share = (number: string): string => {
      const samples = results.samples(`${name}/${number}`);
      if (samples.length === 0) return '–';
      return ((100 * samples.reduce((sum, each) => sum + each, 0)) / samples.length).toFixed(0);
    };
    const { measured, runs } = results.tally(name);
    return [
      name,
      ...[of('wireMegabytes', 1), of('totalMs', 2, 1e-3), of('downtimeMs', 0)],
      ...[of('groupOffPercent', 0), share('groupCovered'), of('vmOffPercent', 0), share('vmCovered')],
      ...[of('makespanOfBound', 2), of('makespanOfWork', 2), `${measured}/${runs}`],
    ];
  });
  const head = [
    ...['evacuation', 'MB', 'total s', 'downtime ms', 'group p50 off %', 'inside %', 'VM p50 off %', 'inside %'],
    ...['÷ bound', '÷ work', 'intact'],
  ];
  const remarks = ran.flatMap(({ name }) => results.tally(name).remarks.map((remark) => `  ${name}: ${remark}`));
  return [`\n${alignColumns([head, ...rows])}`, ...remarks];
}
