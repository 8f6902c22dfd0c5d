/** What was predicted when, and what came of it. */
import type { ReportView } from '../../src/api/migration-schema.ts';
import { formatDuration, formatSize } from '../../src/base/units.ts';
import { Bands } from '../parts/bars.tsx';
import { Panel } from '../parts/panel.tsx';

type Prediction = NonNullable<ReportView['prediction']>;

const MOMENTS: Readonly<Record<Prediction['made'][number]['moment'], string>> = {
  start: 'at the start',
  firstPass: 'in the first pass',
  round1: 'after round 1',
  round2: 'after round 2',
};

const VALUES = [
  { key: 'totalMs', title: 'Time in all', format: formatDuration },
  { key: 'downtimeMs', title: 'Downtime', format: formatDuration },
  { key: 'bytes', title: 'Bytes sent', format: formatSize },
] as const;

export function PredictionPanel({ prediction }: { prediction: Prediction }): React.JSX.Element {
  const { made, actual } = prediction;
  return (
    <Panel title="Predicted and actual">
      <ul className="legend">
        <li>
          <span className="swatch c-light" />
          nine of ten are meant to lie here
        </li>
        <li>
          <span className="swatch line c-sent" />
          expected
        </li>
        {actual === null ? null : (
          <li>
            <span className="swatch line" style={{ background: 'var(--ink)' }} />
            what it was
          </li>
        )}
      </ul>
      <div className="columns">
        {VALUES.map(({ key, title, format }) => {
          const was = actual?.[key] ?? null;
          return (
            <div key={key} className="stack-tight">
              <h3>
                {title}
                {was === null ? '' : `: ${format(was)}`}
              </h3>
              <Bands
                actual={was}
                format={format}
                bands={made.map((each) => ({ name: MOMENTS[each.moment], interval: each[key] }))}
              />
            </div>
          );
        })}
      </div>
    </Panel>
  );
}
