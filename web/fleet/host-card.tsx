/** A host on the map: its state, its memory with each VM in it, how busy it is, what one can do with it. */
import type { FleetHostView, FleetVmView } from '../../src/api/fleet-schema.ts';
import { formatBandwidth, formatSize } from '../../src/base/units.ts';
import { sentence } from '../parts/notice.tsx';
import { Chip, LookChip } from '../parts/state-chip.tsx';
import { count, percent } from '../parts/words.ts';
import { linkToFleet, linkToHost } from '../session/route.ts';

const STATES = {
  up: ['good', 'dot', 'up'],
  silent: ['bad', 'cross', 'does not answer'],
  refusing: ['bad', 'cross', 'answers with an error'],
} as const;

export function HostCard({ host, vms }: { host: FleetHostView; vms: readonly FleetVmView[] }): React.JSX.Element {
  const { pressure, maintenance } = host;
  return (
    <article className="tile" aria-label={`Host ${host.name}`}>
      <div className="actions">
        <h3>
          <a href={linkToHost(host.name)}>{host.name}</a>
        </h3>
        <LookChip look={STATES[host.state]} />
        {maintenance === null ? null : (
          <Chip tone="warn" mark="half">
            maintenance
          </Chip>
        )}
        {host.registration?.beats === false ? (
          <Chip tone="warn" mark="half">
            no heartbeat
          </Chip>
        ) : null}
        {host.takesVms || maintenance !== null ? null : (
          <Chip tone="calm" mark="square">
            takes no VMs
          </Chip>
        )}
      </div>
      <MemoryStrip host={host} vms={vms} />
      <p className="soft small">
        {count(vms.length, 'VM')}, {formatSize(host.takenBytes)} of {formatSize(host.memoryBytes)} (
        {percent(host.takenBytes, host.memoryBytes)}), port {formatBandwidth(host.rateBytesPerSecond)}
        {pressure === null ? '' : `, CPUs ${percent(pressure.cpuPart, 1)} busy`}
      </p>
      {host.failure === null ? null : <p className="small">{sentence(host.failure)}</p>}
      {maintenance?.reason == null ? null : <p className="small">{sentence(maintenance.reason)}</p>}
      <div className="actions">
        {vms.length === 0 ? null : (
          <a className="button small" href={linkToFleet('evacuate', host.name)}>
            Evacuate…<span className="unseen"> {host.name}</span>
          </a>
        )}
        <a className="button small" href={linkToFleet('maintenance', host.name)}>
          Maintenance…<span className="unseen"> of {host.name}</span>
        </a>
      </div>
    </article>
  );
}

/** Each VM as wide as the part of the host's memory that it holds. */
function MemoryStrip({ host, vms }: { host: FleetHostView; vms: readonly FleetVmView[] }): React.JSX.Element {
  const whole = Math.max(host.memoryBytes, host.takenBytes, 1);
  const text = vms.map((vm) => `${vm.name} ${formatSize(vm.ramBytes)}`).join(', ');
  return (
    <div className="strip" role="img" aria-label={`Memory: ${text === '' ? 'no VMs' : text}`}>
      {vms.map((vm) => (
        <i
          key={vm.uuid}
          className={vm.migration !== null ? 'moving' : vm.state === 'running' ? 'c-sent' : 'c-rest'}
          style={{ width: `${(100 * vm.ramBytes) / whole}%` }}
          title={`${vm.name}: ${formatSize(vm.ramBytes)}, ${vm.migration === null ? vm.state : 'on its way'}`}
        />
      ))}
    </div>
  );
}
