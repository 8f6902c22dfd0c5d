/** The rounds of pre-copy: what each sent, what the VM wrote meanwhile, and the rule that decided what came next. */
import type { ReportView } from '../../src/api/migration-schema.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { formatDuration, formatRate, formatSize } from '../../src/base/units.ts';
import { Panel } from '../parts/panel.tsx';

export function RoundsPanel({ rounds }: { rounds: ReportView['rounds'] }): React.JSX.Element {
  const most = Math.max(...rounds.map(({ pages }) => pages), 1);
  const written = (round: ReportView['rounds'][number]): number => (round.modificationPagesPerSecond * round.ms) / 1000;
  const height = (pages: number): string => `${Math.min(100, (100 * pages) / most)}%`;
  return (
    <Panel title="Rounds">
      <ul className="legend">
        <li>
          <span className="swatch c-sent" />
          pages sent
        </li>
        <li>
          <span className="swatch c-dirty" />
          pages that the VM wrote meanwhile
        </li>
      </ul>
      {/* The table below says the same. */}
      <div className="rounds" aria-hidden="true">
        {rounds.map((round) => (
          <div key={round.number}>
            <span className="bars">
              <i className="c-sent" style={{ height: height(round.pages) }} />
              <i className="c-dirty" style={{ height: height(written(round)) }} />
            </span>
            {round.number}
          </div>
        ))}
      </div>
      <details>
        <summary>All numbers</summary>
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th>Round</th>
                <th className="number">Pages</th>
                <th className="number">Sent</th>
                <th className="number">Took</th>
                <th className="number">Sends</th>
                <th className="number">VM writes</th>
                <th className="number">Slowed by</th>
                <th>Rule</th>
              </tr>
            </thead>
            <tbody>
              {rounds.map((round) => (
                <tr key={round.number}>
                  <th scope="row">{round.number}</th>
                  <td className="number">{round.pages}</td>
                  <td className="number">{formatSize(round.bytes)}</td>
                  <td className="number">{formatDuration(round.ms)}</td>
                  <td className="number">{formatRate(round.transmissionPagesPerSecond * PAGE_SIZE)}</td>
                  <td className="number">{formatRate(round.modificationPagesPerSecond * PAGE_SIZE)}</td>
                  <td className="number">{Math.round(round.throttlePercent)} %</td>
                  <td>{round.rule}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </Panel>
  );
}
