/** VMs that share memory, and their way to another host together. */
import type { GroupMigrationView } from '../../src/api/group-migration-schema.ts';
import type { GroupView } from '../../src/api/group-schema.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { formatDuration, formatSize } from '../../src/base/units.ts';
import { ErrorNotice, ended } from '../parts/notice.tsx';
import { Panel } from '../parts/panel.tsx';
import { LookChip } from '../parts/state-chip.tsx';
import { count } from '../parts/words.ts';
import { usePeerName } from '../session/known-hosts.ts';
import { linkTo } from '../session/route.ts';

const LOOKS = {
  preparing: ['active', 'ring', 'preparing'],
  moving: ['active', 'arrow', 'moving'],
  split: ['active', 'half', 'at both hosts'],
  completing: ['active', 'arrow', 'fetching the rest'],
  completed: ['good', 'check', 'completed'],
  failed: ['bad', 'cross', 'failed'],
  cancelled: ['warn', 'square', 'cancelled'],
} as const;

export function GroupPanel({ groups }: { groups: readonly GroupView[] }): React.JSX.Element {
  return (
    <Panel title="Shared memory" aside="VMs that share memory move together: godwit group migrate" flush>
      <table className="rows">
        <thead>
          <tr>
            <th>Group</th>
            <th>VMs</th>
            <th>Memory that they share</th>
          </tr>
        </thead>
        <tbody>
          {groups.map(({ name, vms, regions }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td data-label="VMs" className="wide">
                <Names names={vms.map((vm) => vm.name)} />
              </td>
              <td data-label="Memory that they share" className="wide">
                {regions.map((region) => (
                  <div key={region.name}>
                    {region.name} {formatSize(region.sizeBytes)} <span className="soft">{region.vms.join(', ')}</span>
                    {region.problem === null ? null : <div className="soft">{ended(region.problem)}</div>}
                  </div>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

export function GroupMigrationPanel(props: { migrations: readonly GroupMigrationView[] }): React.JSX.Element {
  return (
    <Panel title="Migrations of groups" aside={count(props.migrations.length, 'migration')} flush>
      <table className="rows">
        <thead>
          <tr>
            <th>Group</th>
            <th>State</th>
            <th>VMs</th>
            <th className="number">Shared memory left</th>
            <th className="number">Took</th>
          </tr>
        </thead>
        <tbody>
          {props.migrations.map((migration) => (
            <GroupMigrationRow key={migration.id} migration={migration} />
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

function GroupMigrationRow({ migration }: { migration: GroupMigrationView }): React.JSX.Element {
  const { group, to, state, members, regions, totalMs, error, notes } = migration;
  const left = regions.reduce((sum, { pagesLeft }) => sum + pagesLeft, 0) * PAGE_SIZE;
  const nameOf = usePeerName();
  return (
    <tr>
      <th scope="row">
        {group} <span className="soft">to {nameOf(to)}</span>
      </th>
      <td data-label="State">
        <LookChip look={LOOKS[state]} />
      </td>
      <td data-label="VMs" className="wide">
        {members.map((member) => (
          <div key={member.vm}>
            {member.migration === null ? member.vm : <a href={linkTo('migrations', member.migration)}>{member.vm}</a>}{' '}
            <span className="soft">
              {member.state}
              {member.downtimeMs === null ? '' : `, downtime ${formatDuration(member.downtimeMs)}`}
            </span>
          </div>
        ))}
        {error === null ? null : <ErrorNotice error={error} />}
        {notes.slice(-1).map((note) => (
          <div key={note} className="soft small">
            {ended(note)}
          </div>
        ))}
      </td>
      <td data-label="Shared memory left" className="number">
        {formatSize(left)}
      </td>
      <td data-label="Took" className="number">
        {totalMs === null ? '–' : formatDuration(totalMs)}
      </td>
    </tr>
  );
}

function Names({ names }: { names: readonly string[] }): React.JSX.Element {
  return (
    <>
      {names.map((name, index) => (
        <span key={name}>
          {index > 0 ? ', ' : ''}
          <a href={linkTo('vms', name)}>{name}</a>
        </span>
      ))}
    </>
  );
}
