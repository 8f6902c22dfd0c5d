/**
 * What a host knows of one VM: enough to find its QEMU again after a restart and to move it.
 *
 * Owns: the shape of the record (kept by the host in `vms/NAME/vm.json`) and where a VM's files lie.
 * Must hold: `epoch` grows by one with every handover, and of two hosts that know a VM the one with the higher epoch
 * is right (G3).
 */
import { join } from 'node:path';
import type { AttachedNic } from '../network/nic.ts';

export interface VmRecord {
  readonly name: string;
  /** Stays the same through every migration. */
  readonly uuid: string;
  readonly epoch: number;
  /** QEMU's process; start ticks defend against a pid that was used again. */
  readonly pid: number;
  readonly startTicks: number;
  readonly binary: string;
  /** QEMU's arguments as it was started here, without the binary. */
  readonly args: readonly string[];
  readonly qmpPath: string;
  /** null: an adopted VM whose console godwit does not have. */
  readonly consoleLogPath: string | null;
  readonly consoleSocketPath: string | null;
  readonly memoryBytes: number;
  readonly vcpus: number;
  /** Network interfaces; absent in one that was adopted or is older than they are. */
  readonly nics?: readonly AttachedNic[];
  /** Started by somebody else and adopted: godwit never deletes files that it did not make. */
  readonly adopted: boolean;
  /** Unix milliseconds. */
  readonly createdAt: number;
  /** Where the VM came from last, or null if it was created here. */
  readonly arrivedFrom: string | null;
  /** The key of its pages' fingerprints, in hexadecimal; absent before it moves for the first time. Known to nobody else. */
  readonly contentKey?: string;
}

/** The tmpfs that guest memory lies on. */
export const RAM_DIRECTORY = '/dev/shm';

/** The files of a VM on this host. */
export interface VmPaths {
  readonly directory: string;
  readonly record: string;
  readonly qmp: string;
  readonly consoleSocket: string;
  readonly consoleLog: string;
  readonly qemuLog: string;
  readonly history: string;
  /** Created by QEMU on tmpfs and unlinked as soon as it is open. */
  readonly ram: string;
}

/**
 * @param stateDirectory - the host's state directory
 * @param instance - tells apart two instances of one VM on one machine (QEMU's incoming one and the old one)
 */
export function vmPaths(stateDirectory: string, name: string, instance: string): VmPaths {
  const directory = join(stateDirectory, 'vms', name);
  const run = join(directory, instance);
  return {
    directory: run,
    record: join(directory, 'vm.json'),
    qmp: join(run, 'qmp.sock'),
    consoleSocket: join(run, 'console.sock'),
    consoleLog: join(run, 'console.log'),
    qemuLog: join(run, 'qemu.log'),
    history: join(directory, 'history.json'),
    ram: join(RAM_DIRECTORY, `godwit-${name}-${instance}`),
  };
}
