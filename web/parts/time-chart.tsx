/**
 * Values over time, drawn by uPlot in the colours of the theme.
 *
 * Owns: one uPlot and its size. Must hold: what it shows is said in words as well (`summary`), since a canvas says nothing.
 */
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

export interface Series {
  readonly label: string;
  /** A custom property of tokens.css, without the dashes. */
  readonly color: string;
  readonly values: readonly (number | null)[];
  readonly fill?: boolean;
  readonly dash?: boolean;
  readonly points?: boolean;
}

export interface TimeChartProps {
  readonly summary: string;
  /** Seconds: Unix time, or since the beginning with `relative`. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
  readonly height?: number;
  readonly relative?: boolean;
  /** Stretches of time that are marked, in the unit of `times`. */
  readonly marked?: readonly (readonly [number, number])[];
  readonly max?: number;
}

/** Round numbers of B, KiB, MiB and GiB. */
const BYTE_STEPS = [0, 1, 2, 3].flatMap((power) =>
  [1, 2, 5, 10, 20, 50, 100, 200, 500].map((step) => step * 1024 ** power),
);

export function TimeChart(props: TimeChartProps): React.JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = JSON.stringify([props.series.map(({ label, color }) => [label, color]), props.relative, props.height]);
  const latest = useRef(props);
  latest.current = props;

  // biome-ignore lint/correctness/useExhaustiveDependencies: made anew only when its series are others
  useEffect(() => {
    const element = place.current;
    if (!element) return undefined;
    const make = (): void => {
      plot.current?.destroy();
      plot.current = new uPlot(optionsOf(latest, element), dataOf(latest.current), element);
    };
    make();
    const resized = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width > 0) plot.current?.setSize({ width, height: latest.current.height ?? 180 });
    });
    resized.observe(element);
    const scheme = window.matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', make);
    window.addEventListener('themechange', make);
    return () => {
      resized.disconnect();
      scheme.removeEventListener('change', make);
      window.removeEventListener('themechange', make);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => plot.current?.setData(dataOf(props)));

  return <div ref={place} className="chart" role="img" aria-label={props.summary} />;
}

function dataOf({ times, series }: TimeChartProps): uPlot.AlignedData {
  return [[...times], ...series.map(({ values }) => [...values])] as uPlot.AlignedData;
}

function optionsOf(latest: { readonly current: TimeChartProps }, element: HTMLElement): uPlot.Options {
  const { series, relative = false, height = 180, max } = latest.current;
  const ink = colorOf(element, 'ink-soft');
  const grid = { stroke: colorOf(element, 'line'), width: 1 };
  const font = `12px ${getComputedStyle(element).fontFamily}`;
  const axis = { stroke: ink, grid, ticks: { show: false }, font };
  return {
    width: Math.max(100, element.clientWidth),
    height,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false },
    padding: [8, 8, 0, 0],
    scales: {
      x: { time: !relative },
      y: { range: (_plot, _low, high) => [0, max ?? (high > 0 ? high * 1.08 : 1)] },
    },
    axes: [
      {
        ...axis,
        size: 28,
        values: (_plot, splits, _axis, _space, step) =>
          splits.map((value) => (relative ? `${value} s` : clock(value, step < 60))),
      },
      {
        ...axis,
        size: 78,
        incrs: max === undefined ? BYTE_STEPS : [25, 50, 100],
        values: (_plot, splits) => splits.map((value) => latest.current.format(value)),
      },
    ],
    series: [
      {},
      ...series.map(({ label, color, fill, dash, points }) => ({
        label,
        stroke: colorOf(element, color),
        width: 1.75,
        points: { show: points === true, size: 5 },
        ...(fill === true ? { fill: `color-mix(in srgb, ${colorOf(element, color)} 16%, transparent)` } : {}),
        ...(dash === true ? { dash: [5, 4] } : {}),
      })),
    ],
    hooks: { drawClear: [(plot) => drawMarked(plot, latest.current.marked ?? [], colorOf(element, 'good-wash'))] },
  };
}

function drawMarked(plot: uPlot, marked: readonly (readonly [number, number])[], color: string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = color;
  for (const [from, to] of marked) {
    const left = plot.valToPos(from, 'x', true);
    ctx.fillRect(left, bbox.top, plot.valToPos(to, 'x', true) - left, bbox.height);
  }
  ctx.restore();
}

/** What the theme makes of a custom property: a canvas does not know light-dark(). */
function colorOf(element: HTMLElement, name: string): string {
  const before = element.style.color;
  element.style.color = `var(--${name})`;
  const color = getComputedStyle(element).color;
  element.style.color = before;
  return color;
}

function clock(seconds: number, isFine: boolean): string {
  return new Date(seconds * 1000).toLocaleTimeString([], {
    hour: '2-digit',
    minute: '2-digit',
    ...(isFine ? { second: '2-digit' } : {}),
    hourCycle: 'h23',
  });
}
