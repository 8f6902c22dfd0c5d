/** All VMs of a fleet: where each is, how it writes, and what keeps it from being moved. */
import type { FleetVmView } from '../../src/api/fleet-schema.ts';
import { formatDuration, formatRate, formatSize } from '../../src/base/units.ts';
import { sentence } from '../parts/notice.tsx';
import { knownVmState, VmChip } from '../parts/state-chip.tsx';
import { linkToFleet, linkToHost } from '../session/route.ts';

export function FleetVmTable({ vms }: { vms: readonly FleetVmView[] }): React.JSX.Element {
  return (
    <table className="rows">
      <thead>
        <tr>
          <th>Name</th>
          <th>Host</th>
          <th>State</th>
          <th className="number">Memory</th>
          <th className="number">Writes now</th>
          <th className="number">Rhythm</th>
          <th>Remarks</th>
        </tr>
      </thead>
      <tbody>
        {vms.map((vm) => (
          <tr key={`${vm.host} ${vm.uuid}`}>
            <th scope="row">
              <a href={linkToHost(vm.host, 'vms', vm.name)}>{vm.name}</a>
            </th>
            <td data-label="Host">
              <a href={linkToHost(vm.host)}>{vm.host}</a>
            </td>
            <td data-label="State">
              <VmChip state={knownVmState(vm.state)} />
            </td>
            <td data-label="Memory" className="number">
              {formatSize(vm.ramBytes)}
            </td>
            <td data-label="Writes now" className="number">
              {formatRate(vm.dirtyBytesPerSecond)}
            </td>
            <td data-label="Rhythm" className="number">
              {vm.period === null ? <span className="soft">none</span> : formatDuration(vm.period.periodMs)}
            </td>
            <td className="wide soft">
              {vm.migration === null ? null : (
                <a href={linkToHost(vm.host, 'migrations', vm.migration)}>Watch its migration</a>
              )}
              {vm.migration === null && vm.evacuation !== null ? (
                <a href={linkToFleet('evacuations', vm.evacuation)}>Part of an evacuation</a>
              ) : null}
              {vm.migration === null && vm.obstacle !== null ? sentence(vm.obstacle) : null}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
