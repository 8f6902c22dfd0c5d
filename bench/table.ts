/** The results for people. */

import { median } from '../src/base/statistics.ts';
import type { Results } from './results.ts';
import { largest, smallest } from './statistics.ts';
import { GUEST_MEMORY_MEBIBYTES } from './workloads.ts';

interface Column {
  readonly title: string;
  readonly number: string;
  readonly digits: number;
  readonly divideBy?: number;
  /** Show smallest and largest as well. */
  readonly spread?: boolean;
}

const GUEST_GIBIBYTES = GUEST_MEMORY_MEBIBYTES / 1024;

const COLUMNS: readonly Column[] = [
  { title: 'total s', number: 'totalMs', digits: 2, divideBy: 1000 },
  { title: 'w/o prep. s', number: 'totalWithoutPreparingMs', digits: 2, divideBy: 1000 },
  { title: 'downtime ms', number: 'downtimeMs', digits: 1, spread: true },
  { title: 'guest gap ms', number: 'gapMs', digits: 1, spread: true },
  { title: 'wire MB', number: 'wireMegabytes', digits: 0 },
  { title: 'guest work %', number: 'workPercent', digits: 0 },
  { title: 'CPU s', number: 'cpuSeconds', digits: 2 },
  { title: 's/GiB source', number: 'sourceCpuSeconds', digits: 2, divideBy: GUEST_GIBIBYTES },
  { title: 's/GiB dest.', number: 'destinationCpuSeconds', digits: 2, divideBy: GUEST_GIBIBYTES },
  { title: 'daemon MB', number: 'daemonPeakMegabytes', digits: 0 },
  { title: 'more MB', number: 'engineMegabytes', digits: 0 },
];

/** One table: a row for each system that has run. Medians; in brackets smallest and largest. */
export function renderScenario(scenario: string, systems: readonly string[], results: Results): string {
  const rows = systems
    .filter((system) => results.hasRun(`${scenario}/${system}`))
    .map((system) => row(`${scenario}/${system}`, system, results));
  return alignColumns([['system', ...COLUMNS.map(({ title }) => title), 'runs', 'remarks'], ...rows]);
}

function row(name: string, system: string, results: Results): string[] {
  const cells = COLUMNS.map(({ number, digits, divideBy = 1, spread }) => {
    const samples = results.samples(`${name}/${number}`).map((sample) => sample / divideBy);
    return samples.length === 0 ? '–' : showSamples(samples, digits, spread === true);
  });
  const { runs, measured, broken, notConverged, failed } = results.tally(name);
  const counts = [
    ...(broken > 0 ? [`${broken} guests broken`] : []),
    ...(notConverged > 0 ? [`${notConverged} did not end`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ];
  return [system, ...cells, `${measured}/${runs}`, counts.join(', ')];
}

function showSamples(samples: readonly number[], digits: number, spread: boolean): string {
  const middle = median(samples).toFixed(digits);
  if (!spread || samples.length < 2) return middle;
  return `${middle} [${smallest(samples).toFixed(digits)}–${largest(samples).toFixed(digits)}]`;
}

export function alignColumns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)));
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
