/** What a running migration has done so far: rates and slowdown over time, and its rounds. */
import type { MigrationView } from '../../src/api/migration-schema.ts';
import { formatDuration, formatRate, formatSize } from '../../src/base/units.ts';
import { Panel } from '../parts/panel.tsx';
import { TimeChart } from '../parts/time-chart.tsx';
import { useHostState } from '../session/host-context.ts';
import { roundsSeen } from '../session/live-samples.ts';

/** Fewer points make no line. */
const FEWEST_SAMPLES = 3;

export function LiveCharts({ migration }: { migration: MigrationView }): React.JSX.Element | null {
  const samples = useHostState().samples.get(migration.id) ?? [];
  if (samples.length < FEWEST_SAMPLES) return null;
  const times = samples.map(({ atMs }) => (atMs - migration.startedAtMs) / 1000);
  const last = samples.at(-1)!;
  const rounds = roundsSeen(samples).filter(({ number }) => number > 0);
  const isSlowed = samples.some(({ throttlePercent }) => throttlePercent > 0);
  return (
    <div className="columns">
      <Panel title="Rates" aside="since this page was opened">
        <ul className="legend">
          <li>
            <span className="swatch line c-sent" />
            sends <b>{formatRate(last.bytesPerSecond)}</b>
          </li>
          <li>
            <span className="swatch line c-dirty" />
            the VM writes <b>{formatRate(last.dirtyBytesPerSecond)}</b>
          </li>
        </ul>
        <TimeChart
          relative
          summary={`Sends ${formatRate(last.bytesPerSecond)}, the VM writes ${formatRate(last.dirtyBytesPerSecond)}`}
          times={times}
          series={[
            {
              label: 'sends',
              color: 'series-sent',
              values: samples.map(({ bytesPerSecond }) => bytesPerSecond),
              fill: true,
            },
            {
              label: 'writes',
              color: 'series-dirty',
              values: samples.map(({ dirtyBytesPerSecond }) => dirtyBytesPerSecond),
              dash: true,
            },
          ]}
          format={formatRate}
        />
        {isSlowed ? (
          <>
            <ul className="legend">
              <li>
                <span className="swatch line c-throttle" />
                the VM is slowed by <b>{Math.round(last.throttlePercent)} %</b>
              </li>
            </ul>
            <TimeChart
              relative
              height={90}
              max={100}
              summary={`The VM is slowed by ${Math.round(last.throttlePercent)} %`}
              times={times}
              series={[
                {
                  label: 'slowed',
                  color: 'series-throttle',
                  values: samples.map(({ throttlePercent }) => throttlePercent),
                  fill: true,
                },
              ]}
              format={(value) => `${Math.round(value)} %`}
            />
          </>
        ) : null}
      </Panel>
      {rounds.length === 0 ? null : (
        <Panel title="Rounds" aside="what was sent in each" flush>
          <table>
            <thead>
              <tr>
                <th>Round</th>
                <th className="number">Sent</th>
                <th className="number">Took</th>
                <th className="number">Left then</th>
              </tr>
            </thead>
            <tbody>
              {rounds.slice(-8).map(({ number, bytes, ms, remainingBytes }) => (
                <tr key={number}>
                  <th scope="row">{number}</th>
                  <td className="number">{formatSize(bytes)}</td>
                  <td className="number">{formatDuration(ms)}</td>
                  <td className="number">{formatSize(remainingBytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Panel>
      )}
    </div>
  );
}
