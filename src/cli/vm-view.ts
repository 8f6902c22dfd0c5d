/** VMs as text. */
import type { VmView } from '../api/vm-schema.ts';
import { formatSize } from '../base/units.ts';
import { renderTable } from './table.ts';

export function renderVmList(vms: readonly VmView[]): string {
  if (vms.length === 0) return 'No VMs on this host.';
  return renderTable(
    [
      { title: 'NAME' },
      { title: 'STATE' },
      { title: 'OWNER' },
      { title: 'MEMORY', align: 'right' },
      { title: 'VCPUS', align: 'right' },
      { title: 'PID', align: 'right' },
      { title: 'MIGRATION' },
    ],
    vms.map((vm) => [
      vm.name,
      vm.state,
      vm.owner,
      formatSize(vm.memoryBytes),
      String(vm.vcpus),
      vm.pid === null ? '-' : String(vm.pid),
      vm.migration ?? '-',
    ]),
  );
}

export function renderVm(vm: VmView): string {
  const rows: [string, string | null][] = [
    ['name', vm.name],
    ['state', vm.state],
    ['ended', vm.ended && `${new Date(vm.ended.atMs).toISOString()}, ${vm.ended.reason}`],
    ['owner', vm.owner],
    ['uuid', vm.uuid],
    ['memory', formatSize(vm.memoryBytes)],
    ...vm.sharedMemory.map((region): [string, string] => ['shared memory', renderRegion(region)]),
    ...vm.nics.map((nic): [string, string] => ['network', renderNic(nic)]),
    ['vcpus', String(vm.vcpus)],
    ['pid', vm.pid === null ? null : `${vm.pid}${vm.adopted ? ' (adopted)' : ''}`],
    ['qemu', vm.qemuVersion],
    ['epoch', String(vm.epoch)],
    ['migration', vm.migration],
    ['arrived from', vm.arrivedFrom],
    ['qmp', vm.qmpPath],
    ['console', vm.consoleLogPath],
    ...vm.notes.map((note): [string, string] => ['note', note]),
  ];
  return rows
    .filter(([, value]) => value !== null)
    .map(([title, value]) => `${title.padEnd(13)} ${value}`)
    .join('\n');
}

function renderRegion({ name, sizeBytes, path, sharedWith }: VmView['sharedMemory'][number]): string {
  const company = sharedWith.length === 0 ? 'no other VM' : sharedWith.join(', ');
  return `${name}, ${formatSize(sizeBytes)}, with ${company}, in ${path}`;
}

function renderNic({ name, bridge, tap, mac, mtu, addresses }: VmView['nics'][number]): string {
  const place = bridge === null ? "QEMU's own network" : `bridge ${bridge} (${tap})`;
  return [`${name}, ${mac}`, place, `MTU ${mtu}`, ...addresses].join(', ');
}
