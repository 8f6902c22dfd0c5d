/** Evacuations that go on and that have ended, and migrations with what was predicted of each. */
import type { FinishedMigrationView } from '../../src/api/evacuation-schema.ts';
import { formatDuration, formatSize } from '../../src/base/units.ts';
import { useLoaded, useNow } from '../parts/loaded.ts';
import { ErrorNotice, sentence } from '../parts/notice.tsx';
import { PageHead, Panel } from '../parts/panel.tsx';
import { MigrationChip } from '../parts/state-chip.tsx';
import { ago, durationOrDash, range } from '../parts/words.ts';
import { useFleetCalls, useFleetState } from '../session/fleet-context.ts';
import { linkToHost } from '../session/route.ts';
import { EvacuationTable } from './evacuation-table.tsx';

const SHOWN_MIGRATIONS = 100;
const REFRESH_MS = 20_000;

export function EvacuationsPage(): React.JSX.Element {
  const calls = useFleetCalls();
  const { evacuations, controller } = useFleetState();
  const silence = controller?.storeFailure ?? null;
  const history = useLoaded(() => calls.history({ limit: SHOWN_MIGRATIONS }), 'fleet history', REFRESH_MS);
  const migrations = history.value?.migrations ?? [];
  return (
    <>
      <PageHead title="Evacuations" />
      <Panel title="Evacuations" flush={evacuations.length > 0}>
        {silence !== null && evacuations.length === 0 ? (
          <p className="empty">Which there are is not known: {sentence(silence)}</p>
        ) : evacuations.length === 0 ? (
          <p className="empty">
            No host was evacuated yet. Choose <b>Evacuate…</b> at a host on the fleet’s page: the plan is shown before
            anything moves.
          </p>
        ) : (
          <EvacuationTable evacuations={evacuations} />
        )}
      </Panel>
      {history.error === undefined ? null : (
        <ErrorNotice error={history.error} title="The history could not be read." />
      )}
      <Panel title="Migrations that have ended" flush={migrations.length > 0}>
        {migrations.length > 0 ? (
          <Finished migrations={migrations} />
        ) : (
          <p className="empty">{history.error === undefined ? 'None yet.' : 'Not known.'}</p>
        )}
      </Panel>
    </>
  );
}

function Finished({ migrations }: { migrations: readonly FinishedMigrationView[] }): React.JSX.Element {
  const now = useNow(10_000);
  return (
    <table className="rows">
      <thead>
        <tr>
          <th>VM</th>
          <th>Way</th>
          <th>State</th>
          <th className="number">Took</th>
          <th className="number">Predicted</th>
          <th className="number">Downtime</th>
          <th className="number">Sent</th>
          <th className="number">Began</th>
        </tr>
      </thead>
      <tbody>
        {migrations.map(({ id, vm, from, to, outcome, predicted, actual, startedAtMs }) => (
          <tr key={`${from} ${id}`}>
            <th scope="row">
              <a href={linkToHost(from, 'migrations', id)}>{vm}</a>
            </th>
            <td data-label="Way">
              {from} to {to}
            </td>
            <td data-label="State">
              <MigrationChip state={outcome} />
            </td>
            <td data-label="Took" className="number">
              {formatDuration(actual.totalMs)}
            </td>
            <td data-label="Predicted" className="number soft">
              {predicted === null ? '–' : range(predicted.totalMs.p10, predicted.totalMs.p90, formatDuration)}
            </td>
            <td data-label="Downtime" className="number">
              {durationOrDash(actual.downtimeMs)}
            </td>
            <td data-label="Sent" className="number">
              {formatSize(actual.bytes)}
            </td>
            <td data-label="Began" className="number soft">
              {ago(startedAtMs, now)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
