/**
 * VM records on disk: `vms/NAME/vm.json` below the state directory.
 *
 * Must hold: a record is whole or absent; nothing outside the state directory is ever deleted.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { VmEnd } from '../api/vm-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { type VmRecord, vmPaths } from '../migration/vm-record.ts';
import type { VmSpec } from '../qemu/spec.ts';
import { removeHalfWritten, writeFileAtomically } from './atomic-file.ts';

/** A VM record with what only the host keeps. */
export interface StoredVm {
  readonly record: VmRecord;
  /** What it was created from here, or null. */
  readonly spec: VmSpec | null;
  /** What blocked a migration when it was adopted. */
  readonly notes: readonly string[];
  /** How QEMU ended, or null while it lives. */
  readonly ended: VmEnd | null;
}

export class VmStore {
  readonly #stateDirectory: string;

  constructor(stateDirectory: string) {
    this.#stateDirectory = stateDirectory;
    mkdirSync(join(stateDirectory, 'vms'), { recursive: true, mode: 0o700 });
  }

  save(vm: StoredVm): void {
    const path = vmPaths(this.#stateDirectory, vm.record.name, '').record;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileAtomically(
      path,
      `${JSON.stringify({ ...vm.record, spec: vm.spec, notes: vm.notes, ended: vm.ended }, null, 2)}\n`,
    );
  }

  /** Every record; one that cannot be read is reported, not guessed. */
  loadAll(): { vms: StoredVm[]; damaged: { path: string; reason: string }[] } {
    const vms: StoredVm[] = [];
    const damaged: { path: string; reason: string }[] = [];
    for (const name of readdirSync(join(this.#stateDirectory, 'vms'))) {
      const path = vmPaths(this.#stateDirectory, name, '').record;
      removeHalfWritten(path);
      try {
        vms.push(parseStored(readFileSync(path, 'utf8')));
      } catch (error) {
        // A directory without a record is what is left of a VM that has gone: its history, for instance.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
        damaged.push({ path, reason: error instanceof Error ? error.message : String(error) });
      }
    }
    return { vms, damaged };
  }

  /** Forgets the VM. Its history stays for the next time that it is here, unless `everything`. */
  remove(name: string, options: { everything: boolean }): void {
    const { record } = vmPaths(this.#stateDirectory, name, '');
    rmSync(record, { force: true });
    if (options.everything) rmSync(dirname(record), { recursive: true, force: true });
  }

  /** Deletes the sockets and logs of one instance of a VM, if they lie below the state directory. */
  removeInstance(record: VmRecord): void {
    const home = dirname(vmPaths(this.#stateDirectory, record.name, '').record);
    const directory = dirname(record.qmpPath);
    if (dirname(directory) === home) rmSync(directory, { recursive: true, force: true });
  }
}

function parseStored(contents: string): StoredVm {
  const { spec, notes, ended, ...record } = JSON.parse(contents) as VmRecord & Partial<Omit<StoredVm, 'record'>>;
  const whole =
    typeof record.name === 'string' &&
    typeof record.pid === 'number' &&
    typeof record.startTicks === 'number' &&
    typeof record.qmpPath === 'string' &&
    typeof record.epoch === 'number';
  if (!whole) throw new GodwitError('GW_INTERNAL', { reason: 'the record lacks a field' });
  // Records of before regions and network interfaces say nothing of any.
  return {
    record,
    spec: spec ? { ...spec, nics: spec.nics ?? [], sharedMemory: spec.sharedMemory ?? [] } : null,
    notes: notes ?? [],
    ended: ended ?? null,
  };
}
