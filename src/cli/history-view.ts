/**
 * How a VM has been writing to its memory, as text.
 *
 * Owns: the picture: one column a slice of time, as high as the most that was seen in it; a slice in which nothing was
 * measured is empty.
 */
import type { HistoryView } from '../api/history-schema.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { formatDuration, formatRate, formatSize } from '../base/units.ts';

const COLUMNS = 60;
const BARS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const NOTHING_MEASURED = ' ';

export function renderHistory(history: HistoryView, nowMs: number): string {
  const { samples, everyMs, keepMs } = history;
  const last = samples.at(-1);
  if (!last) {
    const when =
      everyMs === 0 ? 'sampling is off (--sample-every)' : `it is looked at every ${formatDuration(everyMs)}`;
    return `Nothing is known yet of how ${history.vm} writes: ${when}.`;
  }
  const rates = samples.map(({ pagesPerSecond }) => pagesPerSecond).sort((a, b) => a - b);
  const lines: [string, string][] = [
    ['last', `${rate(last.pagesPerSecond)}, ${formatDuration(Math.max(0, nowMs - last.atMs))} ago`],
    ['median', rate(quantile(rates, 0.5))],
    ['most', rate(rates.at(-1)!)],
    ['samples', `${samples.length}${everyMs === 0 ? '' : `, one every ${formatDuration(everyMs)}`}`],
  ];
  const { points } = last;
  if (points.length > 0) {
    const grown = points.map(({ ms, pages }) => `${formatSize(pages * PAGE_SIZE)} in ${formatDuration(ms)}`);
    lines.splice(1, 0, ['written', grown.join(', ')]);
  }
  return [
    picture(history, nowMs),
    `${`${Math.round(keepMs / 60_000)} min ago`.padEnd(COLUMNS - 3)}now`,
    ...lines.map(([title, value]) => `${title.padEnd(9)} ${value}`),
  ].join('\n');
}

function picture({ samples, keepMs }: HistoryView, nowMs: number): string {
  const highest = new Array<number>(COLUMNS).fill(Number.NaN);
  for (const { atMs, pagesPerSecond } of samples) {
    const column = Math.min(COLUMNS - 1, COLUMNS - 1 - Math.floor(((nowMs - atMs) / keepMs) * COLUMNS));
    if (column >= 0 && !(highest[column]! >= pagesPerSecond)) highest[column] = pagesPerSecond;
  }
  const most = Math.max(...highest.filter((value) => !Number.isNaN(value)), 1);
  return highest.map((value) => (Number.isNaN(value) ? NOTHING_MEASURED : barOf(value / most))).join('');
}

function barOf(part: number): string {
  return BARS[Math.min(BARS.length - 1, Math.floor(part * BARS.length))]!;
}

function rate(pagesPerSecond: number): string {
  return formatRate(pagesPerSecond * PAGE_SIZE);
}

function quantile(ascending: readonly number[], part: number): number {
  return ascending[Math.floor((ascending.length - 1) * part)]!;
}
