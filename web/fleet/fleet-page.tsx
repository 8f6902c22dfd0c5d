/** A fleet at a glance: what goes on, the map of its hosts, all VMs. */
import { useState } from 'react';
import type { ControllerView } from '../../src/api/fleet-schema.ts';
import { formatSize } from '../../src/base/units.ts';
import { TextField } from '../parts/field.tsx';
import { Notice, sentence } from '../parts/notice.tsx';
import { Figures, PageHead, Panel } from '../parts/panel.tsx';
import { count, percent } from '../parts/words.ts';
import { useFleetState } from '../session/fleet-context.ts';
import { EvacuationTable } from './evacuation-table.tsx';
import { FleetMigrations } from './fleet-migrations.tsx';
import { FleetVmTable } from './fleet-vm-table.tsx';
import { HostCard } from './host-card.tsx';

export function FleetPage(): React.JSX.Element {
  const { controller, hosts, vms, migrations, evacuations } = useFleetState();
  const [name, setName] = useState('');
  const running = evacuations.filter(({ endedAtMs }) => endedAtMs === null);
  const up = hosts.filter(({ state }) => state === 'up').length;
  const memory = hosts.reduce((sum, host) => sum + host.memoryBytes, 0);
  const taken = hosts.reduce((sum, host) => sum + host.takenBytes, 0);
  const wanted = name.trim().toLowerCase();
  const shown = vms.filter((vm) => `${vm.name} ${vm.host}`.toLowerCase().includes(wanted));
  return (
    <>
      <PageHead title="Fleet" />
      <Figures
        items={[
          {
            name: 'Hosts',
            value: hosts.length,
            detail:
              up === hosts.length
                ? 'all answer'
                : `${hosts.length - up} ${hosts.length - up === 1 ? 'does' : 'do'} not answer`,
          },
          { name: 'Virtual machines', value: vms.length },
          {
            name: 'Memory taken',
            value: percent(taken, memory),
            detail: `${formatSize(taken)} of ${formatSize(memory)}`,
          },
          { name: 'Moving now', value: migrations.length },
          {
            name: 'Led by',
            value: controller?.leader ?? 'nobody',
            detail: controller === null ? undefined : ledBy(controller),
          },
        ]}
      />
      {controller?.storeFailure == null ? null : (
        <Notice tone="bad" live title={`The ${controller.store} store does not answer: nothing new is begun.`}>
          {sentence(controller.storeFailure)}
        </Notice>
      )}
      {running.length === 0 ? null : (
        <Panel title="Going on" aside={count(running.length, 'evacuation')} flush>
          <EvacuationTable evacuations={running} />
        </Panel>
      )}
      {migrations.length === 0 ? null : <FleetMigrations migrations={migrations} />}
      <section className="stack-tight" aria-label="Hosts">
        <h2>Hosts</h2>
        {hosts.length === 0 ? (
          <p className="empty">
            This controller knows no hosts. Name them in its fleet file under <code>hosts:</code> and start it again.
          </p>
        ) : (
          <ul className="tiles">
            {hosts.map((host) => (
              <li key={host.name}>
                <HostCard host={host} vms={vms.filter((vm) => vm.host === host.name)} />
              </li>
            ))}
          </ul>
        )}
      </section>
      <Panel
        title="Virtual machines"
        aside={wanted === '' ? String(vms.length) : `${shown.length} of ${vms.length}`}
        flush={shown.length > 0}
      >
        {vms.length === 0 ? (
          <p className="empty">No host has a VM yet, or none has answered. They appear here by themselves.</p>
        ) : (
          <>
            {vms.length > 8 ? (
              <div style={{ padding: '10px 16px', maxWidth: 320 }}>
                <TextField label="VM or host" value={name} onChange={setName} placeholder="part of a name" />
              </div>
            ) : null}
            <FleetVmTable vms={shown} />
          </>
        )}
      </Panel>
    </>
  );
}

function ledBy({ name, leader, store }: ControllerView): string {
  return leader === name ? `this controller; store ${store}` : `you ask ${name}; store ${store}`;
}
