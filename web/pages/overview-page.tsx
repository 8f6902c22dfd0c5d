/** A host at a glance: what moves now, its VMs and how they write, memory that they share, what has ended lately. */
import type { HostView } from '../../src/api/host-schema.ts';
import { formatBandwidth, formatSize } from '../../src/base/units.ts';
import { useNow } from '../parts/loaded.ts';
import { Figures, PageHead, Panel } from '../parts/panel.tsx';
import { count } from '../parts/words.ts';
import { useHostState } from '../session/host-context.ts';
import { isRunning } from '../session/host-state.ts';
import { linkTo } from '../session/route.ts';
import { GroupMigrationPanel, GroupPanel } from './group-panel.tsx';
import { LiveMigration } from './live-migration.tsx';
import { MigrationTable } from './migration-table.tsx';
import { VmTable } from './vm-table.tsx';

const SHOWN_ENDED = 8;

export function OverviewPage(): React.JSX.Element {
  const { host, vms, migrations, groups, groupMigrations } = useHostState();
  const now = useNow(10_000);
  const running = migrations.filter(isRunning);
  const ended = migrations.filter((migration) => !isRunning(migration));
  return (
    <>
      <PageHead title={`Host ${host?.name ?? ''}`} />
      {host === null ? null : <HostFigures host={host} running={running.length} />}
      {running.length === 0 ? null : (
        <Panel title="Moving now" aside={count(running.length, 'migration')}>
          {running.map((migration) => (
            <LiveMigration key={migration.id} migration={migration} />
          ))}
        </Panel>
      )}
      <Panel title="Virtual machines" aside={vms.length === 0 ? undefined : String(vms.length)} flush={vms.length > 0}>
        {vms.length === 0 ? (
          <p className="empty">
            No VMs here yet. Create one from a spec with <code>godwit vm create vm.yaml</code>, or take over a QEMU that
            runs already with <code>godwit vm adopt</code>; it appears here by itself.
          </p>
        ) : (
          <VmTable vms={vms} />
        )}
      </Panel>
      {groups.length === 0 ? null : <GroupPanel groups={groups} />}
      {groupMigrations.length === 0 ? null : <GroupMigrationPanel migrations={groupMigrations.slice(0, SHOWN_ENDED)} />}
      <Panel
        title="Ended lately"
        flush={ended.length > 0}
        actions={ended.length > SHOWN_ENDED ? <a href={linkTo('migrations')}>All migrations</a> : undefined}
      >
        {ended.length === 0 ? (
          <p className="empty">
            No migration has ended here. Choose <b>Migrate…</b> beside a VM: what would be in its way is checked before
            anything moves.
          </p>
        ) : (
          <MigrationTable migrations={ended.slice(0, SHOWN_ENDED)} nowMs={now} />
        )}
      </Panel>
    </>
  );
}

function HostFigures({ host, running }: { host: HostView; running: number }): React.JSX.Element {
  const { vms } = useHostState();
  const memory = vms.reduce((sum, vm) => sum + vm.memoryBytes, 0);
  const live = vms.filter(({ state }) => state === 'running').length;
  return (
    <Figures
      items={[
        { name: 'Virtual machines', value: vms.length, detail: vms.length === 0 ? undefined : `${live} running` },
        { name: 'Their memory', value: formatSize(memory) },
        { name: 'Moving now', value: running },
        {
          name: 'Limit of all migrations',
          value: host.bandwidthBytesPerSecond === 0 ? 'none' : formatBandwidth(host.bandwidthBytesPerSecond),
        },
        {
          name: 'Others reach it at',
          value: <span className="small mono">{host.migration}</span>,
          detail: `godwit ${host.version}`,
        },
      ]}
    />
  );
}
