/**
 * Takes over a QEMU that somebody else started.
 *
 * Must hold: nothing about the VM is changed; a process that cannot be moved is taken all the same, with what blocks
 * its migration and the fix as notes, because seeing and stopping it is useful by itself.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readlinkSync } from 'node:fs';
import type { AdoptBody } from '../api/vm-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { identifyProcess, listThreads } from '../linux/process.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import { QmpClient } from '../qemu/qmp.ts';
import { GROUP_MEMBER } from '../qemu/shared-memory.ts';
import { surveyVm } from '../qemu/survey.ts';
import type { SharedRegions } from './shared-regions.ts';
import type { Vm } from './vm.ts';
import type { StoredVm } from './vm-store.ts';

const CONNECT_TIMEOUT_MS = 3000;

/** Those of this host. */
type KnownVms = Iterable<Pick<Vm, 'name' | 'record' | 'hasEnded'>>;

/**
 * Its notes say what blocks a migration, also of its group, each with the fix, and what will be left of it.
 * @throws GW_CONFLICT when the process is one of `vms` already
 */
export async function adoptVm(
  request: AdoptBody,
  regions: Pick<SharedRegions, 'adopt'>,
  vms: KnownVms,
): Promise<StoredVm> {
  refuseKnown(request, vms);
  const identity = identifyProcess(request.pid);
  if (!identity) throw invalid('pid', String(request.pid), 'give the process id of a running QEMU');
  using qmp = await connect(request.qmp);
  const { facts, ram, regions: shared, args, blockers } = await surveyVm(qmp, request.pid);
  const threads = new Set(listThreads(request.pid).map(({ tid }) => tid));
  // Whatever is done to the VM later is done to both: they must be one QEMU.
  if (!facts.vcpuTids.every((tid) => threads.has(tid))) {
    const fix = `give the process id of the QEMU behind ${request.qmp}, of which thread ${facts.vcpuTids[0]} is a vCPU`;
    throw invalid('pid', String(request.pid), fix);
  }
  const record: VmRecord = {
    name: request.name,
    uuid: facts.uuid ?? randomUUID(),
    epoch: 1,
    pid: identity.pid,
    startTicks: identity.startTicks,
    binary: readlinkSync(`/proc/${request.pid}/exe`),
    args,
    qmpPath: request.qmp,
    consoleLogPath: null,
    consoleSocketPath: null,
    memoryBytes: ram.length === 0 ? await askMemorySize(qmp) : ram.reduce((sum, backend) => sum + backend.bytes, 0),
    vcpus: facts.vcpuTids.length,
    adopted: true,
    createdAt: Date.now(),
    arrivedFrom: null,
  };
  regions.adopt(record, shared);
  return {
    record,
    spec: null,
    ended: null,
    notes: [
      ...blockers
        .filter(({ id }) => id !== GROUP_MEMBER)
        .map(({ what, reason, fix }) => `cannot be migrated: ${what}: ${reason}; fix: ${fix}`),
      ...ram.flatMap(({ place }) => (place ? lastingFile(place.fdPath) : [])).map(explainLasting),
    ],
  };
}

function refuseKnown(request: AdoptBody, vms: KnownVms): void {
  for (const vm of vms) {
    if (vm.record.pid !== request.pid || vm.hasEnded) continue;
    const reason = `process ${request.pid} is this VM already`;
    throw new GodwitError('GW_CONFLICT', { kind: 'VM', name: vm.name, reason });
  }
}

/** The name of a file that does not go with QEMU. */
function lastingFile(fdPath: string): string[] {
  const path = readlinkSync(fdPath);
  return path.startsWith('/') && !path.startsWith('/memfd:') && existsSync(path) ? [path] : [];
}

function explainLasting(path: string): string {
  return `its memory is the file ${path}, which is not godwit's and stays when the VM has moved or ended: remove it then`;
}

/** Of a VM without any memory backend of its own. */
async function askMemorySize(qmp: QmpClient): Promise<number> {
  const memory = await qmp.execute<{ 'base-memory': number; 'plugged-memory'?: number }>('query-memory-size-summary');
  return memory['base-memory'] + (memory['plugged-memory'] ?? 0);
}

async function connect(path: string): Promise<QmpClient> {
  try {
    return await QmpClient.connect(path, { timeoutMs: CONNECT_TIMEOUT_MS });
  } catch (error) {
    const fix =
      "give the path of this QEMU's QMP socket (-qmp unix:PATH,server=on,wait=off), with no other client connected";
    throw new GodwitError('GW_INPUT_INVALID', { field: 'qmp', value: path, fix }, { cause: error });
  }
}

function invalid(field: string, value: string, fix: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value, fix });
}
