/**
 * The destination of a VM's device state, for tests: a QEMU derived from the source's command line, waiting.
 *
 * Owns: the process, its QMP connection, its files and the RAM file. `await using` ends and removes it all.
 */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import type { ProcessIdentity } from '../../src/linux/process.ts';
import { RamFile } from '../../src/linux/ram-file.ts';
import { deriveDestination } from '../../src/qemu/derive.ts';
import { killQemu, startQemu } from '../../src/qemu/process.ts';
import type { QmpClient } from '../../src/qemu/qmp.ts';
import { findGuestRam } from '../../src/qemu/ram.ts';
import type { Accelerator } from '../../src/qemu/spec.ts';
import { TEST_QEMU } from './capability.ts';
import { SHARED_MEMORY_PREFIX, TempDirectory } from './temp-directory.ts';

export interface IncomingOptions {
  /** Default TEST_QEMU. */
  readonly qemu?: string;
  /** Default tcg. */
  readonly accel?: Accelerator;
  /** Files that exist already, by the id of the backend that gets them: memory that is shared with other VMs. */
  readonly sharedFiles?: Readonly<Record<string, string>>;
}

const COPY_BYTES = 2 ** 20;

export class IncomingQemu implements AsyncDisposable {
  readonly identity: ProcessIdentity;
  readonly qmp: QmpClient;
  readonly directory: TempDirectory;
  readonly args: readonly string[];

  private constructor(identity: ProcessIdentity, qmp: QmpClient, directory: TempDirectory, args: readonly string[]) {
    this.identity = identity;
    this.qmp = qmp;
    this.directory = directory;
    this.args = args;
  }

  static async start(
    sourceArgs: readonly string[],
    machineType: string,
    { qemu = TEST_QEMU, accel = 'tcg', sharedFiles = {} }: IncomingOptions = {},
  ): Promise<IncomingQemu> {
    const directory = new TempDirectory();
    const endpoints = {
      ramPath: `${SHARED_MEMORY_PREFIX}${basename(directory.path)}`,
      qmpPath: directory.join('qmp.sock'),
      consoleSocketPath: directory.join('console.sock'),
      consoleLogPath: directory.join('console.log'),
      sharedPaths: new Map(Object.entries(sharedFiles)),
    };
    const derived = deriveDestination(sourceArgs, { machineType, accel, endpoints, sourceDirectory: '/' });
    if (derived.kind === 'blocked') throw new Error(JSON.stringify(derived.blockers));
    const { args } = derived;
    const ramPaths = derived.ramFiles.map(({ path }) => path);
    const logPath = directory.join('qemu.log');
    const { qmpPath } = endpoints;
    try {
      const started = await startQemu({ binary: qemu, args, logPath, qmpPath, ramPaths });
      return new IncomingQemu(started.identity, started.qmp, directory, args);
    } catch (error) {
      directory[Symbol.dispose]();
      throw error;
    }
  }

  get logPath(): string {
    return this.directory.join('qemu.log');
  }

  /** Copies the RAM of a stopped VM, holes left out; memory that both share is there already. */
  async copyRam(sourceQmp: QmpClient, sourcePid: number): Promise<void> {
    const from = await findGuestRam(sourceQmp, sourcePid);
    const to = await findGuestRam(this.qmp, this.identity.pid);
    const buffer = Buffer.alloc(COPY_BYTES);
    for (const [index, region] of from.entries()) {
      if (isSameFile(region.fdPath, to[index]!.fdPath)) continue;
      using source = RamFile.open(region.fdPath, region.bytes);
      using destination = RamFile.open(to[index]!.fdPath, region.bytes);
      for (let offset = 0; offset < region.bytes; offset += COPY_BYTES) {
        const part = buffer.subarray(0, Math.min(COPY_BYTES, region.bytes - offset));
        source.read(offset, part);
        if (part.some((byte) => byte !== 0)) destination.write(offset, part);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.qmp.close();
    await killQemu(this.identity);
    this.directory[Symbol.dispose]();
  }
}

function isSameFile(one: string, other: string): boolean {
  const [a, b] = [statSync(one), statSync(other)];
  return a.ino === b.ino && a.dev === b.dev;
}
