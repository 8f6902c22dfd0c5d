/**
 * VMs below each other over time: when each is to go by the plan, and when it went.
 *
 * Must hold: what the bars say stands beside them in words.
 */
import { formatDuration } from '../../src/base/units.ts';

export interface TimelineRow {
  readonly name: string;
  readonly href?: string | undefined;
  /** What stands beside the name. */
  readonly detail: React.ReactNode;
  /** Unix milliseconds. */
  readonly predicted: { readonly fromMs: number; readonly toMs: number; readonly lastMs: number } | null;
  readonly actual: { readonly fromMs: number; readonly toMs: number; readonly look: 'done' | 'going' | 'bad' } | null;
  readonly text: React.ReactNode;
}

/** Steps of the scale that are round numbers, seconds. */
const STEPS = [0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 28_800, 86_400];
/** More marks than this run into each other on a phone. */
const MOST_TICKS = 5;

export function Timeline(props: {
  rows: readonly TimelineRow[];
  fromMs: number;
  /** Where the present is marked; null: nowhere. */
  nowMs: number | null;
}): React.JSX.Element {
  const { rows, fromMs, nowMs } = props;
  const ends = rows.flatMap(({ predicted, actual }) => [predicted?.lastMs ?? fromMs, actual?.toMs ?? fromMs]);
  const spanMs = Math.max(1000, (nowMs ?? fromMs) - fromMs, ...ends.map((end) => end - fromMs)) * 1.02;
  const at = (ms: number): number => Math.min(100, Math.max(0, (100 * (ms - fromMs)) / spanMs));
  const place = (from: number, to: number): React.CSSProperties => ({
    left: `${at(from)}%`,
    width: `${at(to) - at(from)}%`,
  });
  const ticks = ticksOf(spanMs);
  return (
    <div className="timeline">
      <div className="timeline-scale" aria-hidden="true">
        {ticks.map((ms) => (
          <span key={ms} style={labelAt(at(fromMs + ms))}>
            {ms === 0 ? '0' : shortDuration(ms)}
          </span>
        ))}
      </div>
      <ol>
        {rows.map(({ name, href, detail, predicted, actual, text }) => (
          <li key={name}>
            <div className="timeline-name">
              {href === undefined ? <b>{name}</b> : <a href={href}>{name}</a>}
              {detail}
            </div>
            <div className="timeline-track" aria-hidden="true">
              {ticks.map((ms) => (
                <i key={ms} className="tick" style={{ left: `${at(fromMs + ms)}%` }} />
              ))}
              {predicted === null ? null : (
                <>
                  <i className="perhaps" style={place(predicted.toMs, predicted.lastMs)} />
                  <i className="predicted" style={place(predicted.fromMs, predicted.toMs)} />
                </>
              )}
              {actual === null ? null : (
                <i className={`actual ${actual.look}`} style={place(actual.fromMs, actual.toMs)} />
              )}
              {nowMs === null ? null : <i className="now" style={{ left: `${at(nowMs)}%` }} />}
            </div>
            <div className="timeline-text soft small">{text}</div>
          </li>
        ))}
      </ol>
    </div>
  );
}

/** The first begins, and the last ends, where the scale does. */
function labelAt(percent: number): React.CSSProperties {
  return { left: `${percent}%`, transform: `translateX(-${percent}%)` };
}

function ticksOf(spanMs: number): number[] {
  const stepMs = 1000 * (STEPS.find((step) => spanMs / (step * 1000) <= MOST_TICKS) ?? STEPS.at(-1)!);
  return Array.from({ length: Math.floor(spanMs / stepMs) + 1 }, (_, index) => index * stepMs);
}

/** Round numbers need no decimals. */
function shortDuration(ms: number): string {
  return formatDuration(ms).replace('.0 ', ' ').replace(' m 0 s', ' min');
}

export function TimelineLegend({ withActual }: { withActual: boolean }): React.JSX.Element {
  return (
    <ul className="legend">
      <li>
        <span className="swatch c-light" />
        predicted (paler: until it is nearly sure to be over)
      </li>
      {withActual ? (
        <li>
          <span className="swatch c-sent" />
          as it went
        </li>
      ) : null}
    </ul>
  );
}
