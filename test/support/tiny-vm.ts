/**
 * A VM with the tiny guest in it, for tests: a real QEMU, started as the product starts it.
 *
 * Owns: the process, its QMP connection, its files. `await using` ends and removes it all.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { buildTinyGuest, type TinyGuestOptions } from '../../guest/tiny/image.ts';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { VmSpecInput } from '../../src/api/vm-schema.ts';
import type { ProcessIdentity } from '../../src/linux/process.ts';
import { buildCommandLine, type Endpoints } from '../../src/qemu/command-line.ts';
import { killQemu, startQemu } from '../../src/qemu/process.ts';
import type { QmpClient } from '../../src/qemu/qmp.ts';
import type { VmSpec } from '../../src/qemu/spec.ts';
import { TEST_QEMU } from './capability.ts';
import { markChildren } from './leak-check.ts';
import { SHARED_MEMORY_PREFIX, TempDirectory } from './temp-directory.ts';
import { TinyGuestView } from './tiny-guest-view.ts';
import { waitUntil } from './wait-until.ts';

export interface TinyVmOptions {
  readonly name?: string;
  /** Default TEST_QEMU. */
  readonly qemu?: string;
  /** Default tcg. */
  readonly accel?: 'tcg' | 'kvm';
  /** Default 64. */
  readonly memoryMiB?: number;
  readonly machine?: string;
  readonly cpu?: string;
  readonly vcpus?: number;
  /** Default: 64-bit ring 3 (it runs natively under KVM too), or 32-bit ring 0 where it is to rest; 16 MiB from the first usable page. */
  readonly guest?: Partial<TinyGuestOptions>;
  readonly disks?: VmSpec['disks'];
  readonly sharedMemory?: VmSpec['sharedMemory'];
  /** Of a VM that a daemon creates: it looks after them. */
  readonly nics?: VmSpecInput['nics'];
  readonly qemuArgs?: readonly string[];
  /** A second QMP socket, `adoptQmpPath`, for somebody who adopts the VM. */
  readonly adoptable?: boolean;
}

/** Some 1500 pages a second, which are next to no work for the CPU: of a guest that is not what a test is about. */
export const CALM = { restMicroseconds: 500 } as const;
/** As fast as it can, of a guest that can rest. */
export const BUSY = { restMicroseconds: 0 } as const;

/** 16 MiB */
const DEFAULT_PAGE_COUNT = 4096;

export class TinyVm implements AsyncDisposable {
  readonly name: string;
  readonly identity: ProcessIdentity;
  readonly qmp: QmpClient;
  readonly guest: TinyGuestView;
  readonly directory: TempDirectory;
  readonly ramBytes: number;
  /** QEMU's arguments, without the binary. */
  readonly args: readonly string[];
  readonly qmpPath: string;
  readonly adoptQmpPath: string;
  /** From before QEMU's start until it answered on QMP. */
  readonly startMs: number;
  readonly #consoleLogPath: string;

  constructor(parts: {
    readonly spec: VmSpec;
    readonly args: readonly string[];
    readonly endpoints: Endpoints;
    readonly adoptQmpPath: string;
    readonly directory: TempDirectory;
    readonly identity: ProcessIdentity;
    readonly qmp: QmpClient;
    readonly startMs: number;
  }) {
    this.name = parts.spec.name;
    this.identity = parts.identity;
    this.qmp = parts.qmp;
    this.directory = parts.directory;
    this.ramBytes = parts.spec.memoryBytes;
    this.args = parts.args;
    this.qmpPath = parts.endpoints.qmpPath;
    this.adoptQmpPath = parts.adoptQmpPath;
    this.startMs = parts.startMs;
    this.#consoleLogPath = parts.endpoints.consoleLogPath;
    this.guest = new TinyGuestView(parts.identity.pid, this.ramBytes);
  }

  get pid(): number {
    return this.identity.pid;
  }

  /** All that the guest has written to its serial line. */
  get serial(): string {
    return readFileSync(this.#consoleLogPath, 'latin1');
  }

  /** Waits until the guest has written this. */
  async waitForSerial(text: string, timeoutMs?: number): Promise<void> {
    const options = timeoutMs === undefined ? {} : { timeoutMs };
    await waitUntil(`the guest has written ${text}`, () => this.serial.includes(text), options);
  }

  /** Stops the guest; afterwards its memory does not change any more. */
  async stop(): Promise<void> {
    await this.qmp.execute('stop');
  }

  async resume(): Promise<void> {
    await this.qmp.execute('cont');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.qmp.close();
    this.guest[Symbol.dispose]();
    await killQemu(this.identity);
    this.directory[Symbol.dispose]();
  }
}

/** Starts it and waits until the guest counts. */
export async function startTinyVm(options: TinyVmOptions = {}): Promise<TinyVm> {
  markChildren();
  const directory = new TempDirectory();
  try {
    const spec = tinyVmSpec(directory, options);
    const endpoints: Endpoints = {
      ramPath: `${SHARED_MEMORY_PREFIX}${basename(directory.path)}`,
      qmpPath: directory.join('qmp.sock'),
      consoleSocketPath: directory.join('console.sock'),
      consoleLogPath: directory.join('console.log'),
    };
    const adoptQmpPath = directory.join('adopt.sock');
    const accel = options.accel ?? 'tcg';
    const args = buildCommandLine(spec, endpoints, { uuid: randomUUID(), accel });
    if (options.adoptable === true) args.push('-qmp', `unix:${adoptQmpPath},server=on,wait=off`);
    const startedMs = performance.now();
    const started = await startQemu({
      binary: spec.qemu,
      args,
      logPath: directory.join('qemu.log'),
      qmpPath: endpoints.qmpPath,
      ramPaths: [endpoints.ramPath],
    });
    const startMs = performance.now() - startedMs;
    const vm = new TinyVm({ spec, args, endpoints, adoptQmpPath, directory, startMs, ...started });
    try {
      await vm.guest.ready();
      return vm;
    } catch (error) {
      await vm[Symbol.asyncDispose]();
      throw error;
    }
  } catch (error) {
    directory[Symbol.dispose]();
    throw error;
  }
}

/** The spec of such a VM, its BIOS image written into the directory. */
export function tinyVmSpec(directory: TempDirectory, options: TinyVmOptions = {}): VmSpec {
  const firmware = directory.join('tiny.bin');
  const guest = {
    mode: options.guest?.restMicroseconds === undefined ? 'long3' : 'prot32',
    firstPage: FIRST_USABLE_PAGE,
    pageCount: DEFAULT_PAGE_COUNT,
    ...options.guest,
  } as const;
  writeFileSync(firmware, buildTinyGuest(guest));
  return {
    name: options.name ?? 'tiny',
    memoryBytes: (options.memoryMiB ?? 64) * 2 ** 20,
    vcpus: options.vcpus ?? 1,
    machine: options.machine ?? 'q35',
    cpu: options.cpu ?? 'qemu64',
    accel: options.accel ?? 'tcg',
    qemu: options.qemu ?? TEST_QEMU,
    firmware,
    disks: options.disks ?? [],
    nics: [],
    sharedMemory: options.sharedMemory ?? [],
    qemuArgs: options.qemuArgs ?? [],
  };
}

/** The same as the API takes it. */
export function tinyVmBody(directory: TempDirectory, options: TinyVmOptions = {}): VmSpecInput {
  const { memoryBytes, sharedMemory, disks, qemuArgs, ...spec } = tinyVmSpec(directory, options);
  return {
    ...spec,
    memory: memoryBytes,
    disks: [...disks],
    nics: options.nics ?? [],
    sharedMemory: sharedMemory.map(({ name, sizeBytes }) => ({ name, size: sizeBytes })),
    qemuArgs: [...qemuArgs],
  };
}
