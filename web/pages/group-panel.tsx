/** VMs that share memory, and their way to another host together. */
import { useState } from 'react';
import type { GroupMigrationView } from '../../src/api/group-migration-schema.ts';
import type { GroupView } from '../../src/api/group-schema.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { formatDuration, formatSize } from '../../src/base/units.ts';
import { ActionButton } from '../parts/action-button.tsx';
import { ErrorNotice, ended } from '../parts/notice.tsx';
import { Panel } from '../parts/panel.tsx';
import { LookChip } from '../parts/state-chip.tsx';
import { count } from '../parts/words.ts';
import { useCalls } from '../session/host-context.ts';
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
    <Panel title="Shared memory" aside="VMs that share memory move together" flush>
      <table className="rows">
        <thead>
          <tr>
            <th>Group</th>
            <th>VMs</th>
            <th>Memory that they share</th>
            <th>
              <span className="unseen">What to do</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {groups.map(({ name, vms, regions, migration }) => (
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
              <td className="number wide">
                {migration === null ? (
                  <a className="button small" href={linkTo('groups', name, 'migrate')}>
                    Migrate…<span className="unseen"> group {name}</span>
                  </a>
                ) : (
                  <span className="soft">{migration.direction === 'outgoing' ? 'is moving' : 'is arriving'}</span>
                )}
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
  const calls = useCalls();
  const [refusal, setRefusal] = useState<unknown>(undefined);
  const { id, group, to, state, members, regions, totalMs, error, notes, waitsFor } = migration;
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
        {refusal === undefined ? null : <ErrorNotice error={refusal} />}
        {waitsFor === null ? null : <div className="soft small">It waits for {ended(waitsFor)}</div>}
        {totalMs !== null ? null : (
          <div className="actions">
            {['preparing', 'moving'].includes(state) ? (
              <ActionButton small act={() => calls.cancelGroupMigration(id)} onError={setRefusal}>
                Cancel<span className="unseen"> the migration of group {group}</span>
              </ActionButton>
            ) : null}
            {state === 'split' && members.some((member) => member.state === 'waiting') ? (
              <ActionButton small act={() => calls.followGroup(id)} onError={setRefusal}>
                Call the others<span className="unseen"> of group {group}</span>
              </ActionButton>
            ) : null}
          </div>
        )}
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
