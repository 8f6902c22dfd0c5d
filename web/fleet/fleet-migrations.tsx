/** The migrations of a fleet that run. */
import type { LiveMigrationView } from '../../src/api/fleet-schema.ts';
import { formatDuration, formatRate } from '../../src/base/units.ts';
import { stepText } from '../pages/phase-steps.tsx';
import { Meter } from '../parts/bars.tsx';
import { Panel } from '../parts/panel.tsx';
import { count } from '../parts/words.ts';
import { useFleetState } from '../session/fleet-context.ts';
import { linkToHost } from '../session/route.ts';

export function FleetMigrations({ migrations }: { migrations: readonly LiveMigrationView[] }): React.JSX.Element {
  const { hosts } = useFleetState();
  const nameOf = (address: string): string => hosts.find(({ migration }) => migration === address)?.name ?? address;
  return (
    <Panel title="Moving now" aside={count(migrations.length, 'migration')} flush>
      <table className="rows">
        <thead>
          <tr>
            <th>VM</th>
            <th>Way</th>
            <th>Phase</th>
            <th>Progress</th>
            <th className="number">Sends</th>
            <th className="number">Left</th>
          </tr>
        </thead>
        <tbody>
          {migrations.map(({ host, migration: { id, vm, peer, phase, progress } }) => (
            <tr key={`${host} ${id}`}>
              <th scope="row">
                <a href={linkToHost(host, 'migrations', id)}>{vm}</a>
              </th>
              <td data-label="Way">
                {host} to {nameOf(peer)}
              </td>
              <td data-label="Phase">{stepText(phase ?? 'preparing')}</td>
              <td data-label="Progress" style={{ minWidth: 100 }}>
                <Meter label={`Progress of ${vm}`} percent={progress?.percent ?? 0} />
              </td>
              <td data-label="Sends" className="number">
                {progress === null ? '–' : formatRate(progress.bytesPerSecond)}
              </td>
              <td data-label="Left" className="number">
                {progress?.etaMs == null ? '–' : formatDuration(progress.etaMs)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}
