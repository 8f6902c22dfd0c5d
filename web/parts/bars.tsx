/** Bars made of parts, and bands of predictions with what came of them. */
import type { PredictionReportSchema } from '../../src/api/prediction-schema.ts';

export interface Part {
  readonly name: string;
  readonly value: number;
  /** A class of charts.css. */
  readonly look: string;
}

/** Parts of a whole, one after another, with a legend that has the numbers. */
export function PartsBar(props: {
  label: string;
  parts: readonly Part[];
  format: (value: number) => string;
}): React.JSX.Element {
  const shown = props.parts.filter(({ value }) => value > 0);
  const text = shown.map(({ name, value }) => `${name} ${props.format(value)}`).join(', ');
  return (
    <figure className="stack-tight">
      <div className="parts" role="img" aria-label={`${props.label}: ${text}`}>
        {shown.map(({ name, value, look }) => (
          <i key={name} className={look} style={{ flexGrow: value }} title={`${name}: ${props.format(value)}`} />
        ))}
      </div>
      <ul className="legend">
        {shown.map(({ name, value, look }) => (
          <li key={name}>
            <span className={`swatch ${look}`} />
            {name} <b>{props.format(value)}</b>
          </li>
        ))}
      </ul>
    </figure>
  );
}

export function Meter({ label, percent, tall }: { label: string; percent: number; tall?: boolean }): React.JSX.Element {
  const shown = Math.min(100, Math.max(0, percent));
  return (
    <div
      className={tall === true ? 'meter tall' : 'meter'}
      role="progressbar"
      aria-label={label}
      aria-valuenow={Math.floor(shown)}
      aria-valuemin={0}
      aria-valuemax={100}
    >
      <i style={{ width: `${shown}%` }} />
    </div>
  );
}

type Prediction = NonNullable<(typeof PredictionReportSchema)['_output']['made'][number]>;
export type Interval = Prediction['totalMs'];

export interface Band {
  readonly name: string;
  readonly interval: Interval;
}

/** Predictions below each other on one scale, and the actual value through all of them. */
export function Bands(props: {
  bands: readonly Band[];
  actual: number | null;
  format: (value: number) => string;
}): React.JSX.Element {
  const { bands, actual, format } = props;
  const most = Math.max(actual ?? 0, ...bands.map(({ interval }) => interval.high)) * 1.04 || 1;
  const at = (value: number): string => `${(100 * value) / most}%`;
  return (
    <div className="bands">
      {bands.map(({ name, interval: { low, expected, high } }) => (
        <div key={name} style={{ display: 'contents' }}>
          <span>{name}</span>
          <span className="number">
            {format(expected)}
            <span className="soft small"> {low === high ? '' : `${format(low)} – ${format(high)}`}</span>
          </span>
          <span className="track" aria-hidden="true">
            <i className="range" style={{ left: at(low), width: at(high - low) }} />
            <i className="expected" style={{ left: at(expected) }} />
            {actual === null ? null : <i className="actual" style={{ left: at(actual) }} />}
          </span>
        </div>
      ))}
    </div>
  );
}
