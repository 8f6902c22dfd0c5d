/** What a VM of a group waits, for people. */

import { median } from '../src/base/statistics.ts';
import { GROUP_CASES } from './group.ts';
import type { Results } from './results.ts';
import { largest, smallest } from './statistics.ts';
import { alignColumns } from './table.ts';

const NUMBERS = [
  ['total s', 'totalMs', 1000],
  ['fault p50 µs', 'faultMicrosecondsP50', 1],
  ['p99 µs', 'faultMicrosecondsP99', 1],
  ['on lent', 'lentFaults', 1],
  ['p50 ms', 'lentFaultMicrosecondsP50', 1000],
  ['p99 ms', 'lentFaultMicrosecondsP99', 1000],
  ['asked for', 'requestedPages', 1],
  ['lent', 'lentPages', 1],
  ['sent twice', 'sentTwice', 1],
] as const;

/** Empty when none has run. Downtimes of all VMs of all runs: the median, in brackets the smallest and the largest. */
export function renderGroups(results: Results): string[] {
  const rows = GROUP_CASES.flatMap(({ name }) => {
    if (!results.hasRun(name)) return [];
    const { runs, measured, broken, remarks } = results.tally(name);
    const downtimes = results.samples(`${name}/downtimeMs`);
    if (downtimes.length === 0)
      return [[name, ...Array(NUMBERS.length + 2).fill('–'), `${measured}/${runs} ${remarks[0] ?? ''}`]];
    const spread = `${median(downtimes).toFixed(1)} [${smallest(downtimes).toFixed(1)}–${largest(downtimes).toFixed(1)}]`;
    const worst = median(results.samples(`${name}/worstDowntimeMs`)).toFixed(1);
    const rest = NUMBERS.map(([, number, divideBy]) => {
      const samples = results.samples(`${name}/${number}`);
      return samples.length === 0 ? '–' : (median(samples) / divideBy).toFixed(divideBy === 1 ? 0 : 2);
    });
    return [[name, spread, worst, ...rest, `${measured}/${runs}${broken > 0 ? `, ${broken} broken` : ''}`]];
  });
  if (rows.length === 0) return [];
  const head = ['group of three', 'downtime ms', 'worst ms', ...NUMBERS.map(([title]) => title), 'runs'];
  return [`\n${alignColumns([head, ...rows])}\n`];
}
