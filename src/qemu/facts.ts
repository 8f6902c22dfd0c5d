/**
 * What one running VM is, asked of its QEMU: what the destination must match and what may stand in the way.
 *
 * Must hold: only questions, no change; a question that this QEMU does not know has the answer "nothing".
 */
import { type CpuFeatureWord, readCpuFeatures } from './cpu-features.ts';
import { type DiskFacts, describeDisks, type QueryBlockEntry } from './disk-facts.ts';
import type { QmpClient } from './qmp.ts';
import { askQemu } from './qmp-ask.ts';
import type { Accelerator } from './spec.ts';

export interface DeviceFacts {
  /** Empty for a device that was given no id. */
  readonly id: string;
  /** QEMU's type name, such as `virtio-net-pci`. */
  readonly type: string;
}

export interface VmFacts {
  /** Such as `7.2.22`. */
  readonly qemuVersion: string;
  /** The versioned type, such as `pc-q35-7.2`, also where the alias `q35` was asked for. */
  readonly machineType: string;
  readonly accel: Accelerator;
  readonly cpuModel: string;
  /** What the guest sees by CPUID; empty when QEMU does not tell. */
  readonly cpuFeatures: readonly CpuFeatureWord[];
  readonly vcpuTids: readonly number[];
  /** QEMU's run state, such as `running`, `paused`, `inmigrate`. */
  readonly status: string;
  readonly running: boolean;
  /** undefined when none was given. */
  readonly uuid: string | undefined;
  readonly name: string | undefined;
  readonly disks: readonly DiskFacts[];
  /** Devices of the command line and hot-plugged ones; not those that belong to the machine. */
  readonly devices: readonly DeviceFacts[];
  readonly blockJobs: readonly string[];
  /** What QEMU itself says about why it cannot be migrated. */
  readonly blockedReasons: readonly string[];
  /** Status of QEMU's own last migration, such as `active`; undefined when there was none. */
  readonly migrationStatus: string | undefined;
  /** SEV is on: RAM is encrypted and means nothing to anybody else. */
  readonly encryptedMemory: boolean;
}

interface CpuEntry {
  readonly 'thread-id': number;
  readonly 'qom-path': string;
}

interface QomEntry {
  readonly name: string;
  readonly type: string;
}

const NO_UUID = '00000000-0000-0000-0000-000000000000';

/** Whether the guest can give memory back to the host: a balloon, free page reporting (part of it), virtio-mem. */
export function canReturnMemory(facts: Pick<VmFacts, 'devices'>): boolean {
  return facts.devices.some(({ type }) => /^virtio-(balloon|mem)(-|$)/.test(type));
}

export async function inspectVm(qmp: QmpClient): Promise<VmFacts> {
  const [machine, kvm, status, name, uuid, cpus, blocks, jobs, migration, named, anonymous, sev] = await Promise.all([
    qmp.execute<string>('qom-get', { path: '/machine', property: 'type' }),
    askQemu<{ enabled: boolean }>(qmp, 'query-kvm'),
    qmp.execute<{ status: string; running: boolean }>('query-status'),
    qmp.execute<{ name?: string }>('query-name'),
    qmp.execute<{ UUID: string }>('query-uuid'),
    qmp.execute<CpuEntry[]>('query-cpus-fast'),
    qmp.execute<QueryBlockEntry[]>('query-block'),
    qmp.execute<{ device: string; type: string }[]>('query-block-jobs'),
    qmp.execute<{ status?: string; 'blocked-reasons'?: string[] }>('query-migrate'),
    listDevices(qmp, '/machine/peripheral'),
    listDevices(qmp, '/machine/peripheral-anon'),
    askQemu<{ enabled: boolean }>(qmp, 'query-sev'),
  ]);
  const cpuPath = cpus[0]?.['qom-path'] ?? '';
  const cpuType = await askQemu<string>(qmp, 'qom-get', { path: cpuPath, property: 'type' });
  return {
    qemuVersion: qmp.qemuVersion,
    machineType: machine.replace(/-machine$/, ''),
    accel: kvm?.enabled ? 'kvm' : 'tcg',
    cpuModel: (cpuType ?? '').replace(/-(x86_64|i386|arm)-cpu$/, ''),
    cpuFeatures: await readCpuFeatures(qmp, cpuPath),
    vcpuTids: cpus.map((cpu) => cpu['thread-id']),
    status: status.status,
    running: status.running,
    uuid: uuid.UUID === NO_UUID ? undefined : uuid.UUID,
    name: name.name,
    disks: describeDisks(blocks),
    devices: [...named, ...anonymous.map(({ type }) => ({ id: '', type }))],
    blockJobs: jobs.map(({ type, device }) => `${type} on ${device}`),
    blockedReasons: migration['blocked-reasons'] ?? [],
    migrationStatus: migration.status,
    encryptedMemory: sev?.enabled ?? false,
  };
}

/** @param path - `/machine/peripheral`, or `/machine/peripheral-anon` for those without an id */
export async function listDevices(qmp: QmpClient, path: string): Promise<DeviceFacts[]> {
  const entries = (await askQemu<QomEntry[]>(qmp, 'qom-list', { path })) ?? [];
  return entries.flatMap(({ name, type }) => {
    const child = /^child<(.+)>$/.exec(type)?.[1];
    return child === undefined ? [] : [{ id: name, type: child }];
  });
}
