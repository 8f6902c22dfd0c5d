/** A fleet, and what its VMs have in common, as text. */
import type { CommonPairView } from '../api/fleet-plan-schema.ts';
import type { FleetHostView, FleetView } from '../api/fleet-schema.ts';
import { formatDuration, formatRate, formatSize } from '../base/units.ts';
import type { Period } from '../fleet/period.ts';
import { isQuiet, untilQuietMs } from '../fleet/quiet-phase.ts';
import { renderTable } from './table.ts';

export function renderFleet({ hosts, vms, controller, atMs, refusedRegistrations }: FleetView): string {
  const table = renderTable(
    [
      { title: 'HOST' },
      { title: 'STATE' },
      { title: 'KNOWN BY' },
      { title: 'VMS', align: 'right' },
      { title: 'ROOM FOR VMS', align: 'right' },
      { title: 'HELD BY VMS', align: 'right' },
      { title: 'CPU', align: 'right' },
      { title: '' },
    ],
    hosts.map((host) => [
      host.name,
      host.state,
      host.registration === null ? 'file' : 'registration',
      String(host.vms),
      host.heardAtMs === null ? '-' : formatSize(host.memoryBytes),
      formatSize(host.takenBytes),
      host.pressure === null ? '-' : `${Math.round(host.pressure.cpuPart * 100)} %`,
      remarkOn(host),
    ]),
  );
  const rows = vms.map((vm) => [
    vm.name,
    vm.host,
    vm.migration === null ? vm.state : `${vm.state}, moving`,
    formatSize(vm.dataBytes),
    vm.dirtyBytesPerSecond === 0 ? '-' : formatRate(vm.dirtyBytesPerSecond),
    vm.period === null ? '-' : describeRhythm(vm.period, atMs),
    vm.policy ?? '-',
    vm.obstacle ?? '',
  ]);
  const listed = renderTable(
    [
      { title: 'VM' },
      { title: 'HOST' },
      { title: 'STATE' },
      { title: 'DATA', align: 'right' },
      { title: 'WRITES', align: 'right' },
      { title: 'RHYTHM' },
      { title: 'POLICY' },
      { title: '' },
    ],
    rows,
  );
  const led = controller === null ? [] : ['', describe(controller)];
  const silent = hosts.flatMap(({ name, failure, state }) =>
    failure === null
      ? []
      : [`host ${name} ${state === 'refusing' ? 'answers with an error' : 'does not answer'}: ${failure}`],
  );
  const refused = refusedRegistrations.map(({ name, reason }) => `host ${name} is not taken: ${reason}`);
  return [table, '', listed, ...silent, ...refused, ...led].join('\n');
}

/** How long a cycle takes, and when its quiet quarter is. */
function describeRhythm(period: Period, nowMs: number): string {
  const every = `every ${formatDuration(period.periodMs)}`;
  if (isQuiet(period, nowMs)) return `${every}, quiet now`;
  return `${every}, quiet in ${formatDuration(untilQuietMs(period, nowMs))}`;
}

const NO_SAMPLES = [
  'There are no two VMs whose contents are known: hosts look through their VMs only with the same --fleet-key-file,',
  'and need a few minutes for it. Without: godwit fleet commonality HOST --exact, for the VMs of one host.',
].join('\n');

export function renderCommonality(pairs: readonly CommonPairView[]): string {
  if (pairs.length === 0) return NO_SAMPLES;
  return renderTable(
    [
      { title: 'VM' },
      { title: 'VM' },
      { title: 'IN COMMON', align: 'right' },
      { title: '±', align: 'right' },
      { title: 'PART', align: 'right' },
    ],
    pairs.map(({ a, b, commonBytes, standardErrorBytes, part }) => [
      a,
      b,
      formatSize(commonBytes),
      formatSize(standardErrorBytes),
      `${Math.round(part * 100)} %`,
    ]),
  );
}

function remarkOn({ maintenance, takesVms, registration }: FleetHostView): string {
  if (maintenance !== null) {
    return maintenance.reason === null ? 'maintenance' : `maintenance: ${maintenance.reason}`;
  }
  if (registration?.beats === false) return takesVms ? 'no heartbeat' : 'no heartbeat, takes no VMs';
  return takesVms ? '' : 'takes no VMs';
}

function describe({ name, leads, leader, store, storeFailure }: NonNullable<FleetView['controller']>): string {
  if (storeFailure !== null) return `controller ${name} (${store}): ${storeFailure}`;
  if (leads) return `controller ${name} leads (${store})`;
  return leader === null
    ? `controller ${name} (${store}): none leads`
    : `controller ${name} (${store}); ${leader} leads`;
}
