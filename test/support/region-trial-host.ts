/**
 * A host's table of shared memory, with processes that map the files in place of QEMUs.
 *
 * Owns: the directories, until `close`; processes are closed by who started them.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { VmProcess } from '../../src/host/host-region.ts';
import { SharedRegions } from '../../src/host/shared-regions.ts';
import { identifyProcess } from '../../src/linux/process.ts';
import type { SharedMemorySpec } from '../../src/qemu/spec.ts';
import { GuineaPig } from './guinea-pig.ts';
import { SHARED_MEMORY_PREFIX } from './temp-directory.ts';

export const MIB = 2 ** 20;
export const BUS: SharedMemorySpec = { name: 'bus', sizeBytes: MIB };
export const LOG: SharedMemorySpec = { name: 'log', sizeBytes: 2 * MIB };

export interface TrialVm extends VmProcess, AsyncDisposable {
  readonly pig: GuineaPig;
}

export class RegionTrialHost implements Disposable {
  /** Where the files of the memory are. */
  readonly directory: string = mkdtempSync(SHARED_MEMORY_PREFIX);
  readonly state: string = join(this.directory, 'state');
  /** VMs whose memory changed, and what was logged. */
  readonly told: string[] = [];
  readonly logged: string[] = [];

  constructor() {
    mkdirSync(this.state);
  }

  open(stateDirectory: string = this.state): SharedRegions {
    const write = (_facts: object, text: string): void => void this.logged.push(text);
    const log = { error: write, warn: write, info: write } as never;
    return new SharedRegions({
      stateDirectory,
      ramDirectory: this.directory,
      log,
      changed: (vms) => this.told.push(vms.join(' ')),
    });
  }

  /** As an earlier daemon's successor. */
  reopen(...vms: VmProcess[]): SharedRegions {
    const regions = this.open();
    regions.restore(vms);
    return regions;
  }

  /** The files of regions that were made here. */
  files(): string[] {
    return readdirSync(this.directory).filter((name) => name.startsWith('godwit-region-'));
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Starts a process that maps one of them, as the QEMU of a VM would. */
export async function startRegionVm(regions: SharedRegions, name: string, wanted: SharedMemorySpec): Promise<TrialVm> {
  using claim = regions.claim(name, [wanted]);
  const path = claim.paths.get(`shared-${wanted.name}`)!;
  const pig = await GuineaPig.mapping(path);
  claim.confirm(identifyProcess(pig.pid)!);
  const args = [
    ...['-object', `memory-backend-file,id=x,size=1M,mem-path=${path},share=on`],
    ...['-device', 'ivshmem-plain,memdev=x'],
  ];
  return { ...processOf(pig), name, args, pig, [Symbol.asyncDispose]: () => pig[Symbol.asyncDispose]() };
}

export function processOf(pig: GuineaPig): { pid: number; startTicks: number } {
  return identifyProcess(pig.pid)!;
}

/** Names of VMs by region. */
export function membersOf(regions: SharedRegions): Record<string, string[]> {
  return Object.fromEntries(regions.list().map(({ name, members }) => [name, members.map(({ vm }) => vm)]));
}
