/** Migrations in rows: what went where, how it ended, what it cost. */
import type { MigrationView } from '../../src/api/migration-schema.ts';
import { formatSize } from '../../src/base/units.ts';
import { MigrationChip } from '../parts/state-chip.tsx';
import { ago, durationOrDash } from '../parts/words.ts';
import { usePeerName } from '../session/known-hosts.ts';
import { linkTo } from '../session/route.ts';

export function MigrationTable(props: { migrations: readonly MigrationView[]; nowMs: number }): React.JSX.Element {
  const nameOf = usePeerName();
  return (
    <table className="rows">
      <thead>
        <tr>
          <th>VM</th>
          <th>Way</th>
          <th>State</th>
          <th className="number">Took</th>
          <th className="number">Downtime</th>
          <th className="number">Sent</th>
          <th className="number">Began</th>
        </tr>
      </thead>
      <tbody>
        {props.migrations.map((migration) => (
          <tr key={migration.id}>
            <th scope="row">
              <a href={linkTo('migrations', migration.id)}>{migration.vm}</a>
            </th>
            <td data-label="Way">
              {migration.direction === 'outgoing' ? 'to ' : 'from '}
              {nameOf(migration.peer)}
            </td>
            <td data-label="State">
              <MigrationChip state={migration.state} />
            </td>
            <td data-label="Took" className="number">
              {durationOrDash(migration.report?.totalMs)}
            </td>
            <td data-label="Downtime" className="number">
              {durationOrDash(migration.report?.downtimeMs)}
            </td>
            <td data-label="Sent" className="number">
              {formatSize(migration.report?.wireBytes ?? migration.progress?.sentBytes ?? 0)}
            </td>
            <td data-label="Began" className="number soft">
              <time dateTime={new Date(migration.startedAtMs).toISOString()}>
                {ago(migration.startedAtMs, props.nowMs)}
              </time>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
