/**
 * A VM with the sample Linux guest in it, for tests: a real QEMU, started as the product starts it.
 *
 * Owns: the process, its QMP connection, its files. `await using` ends and removes it all.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { basename } from 'node:path';
import { type Heartbeat, lastHeartbeat } from '../../guest/linux/console.ts';
import { linuxGuestCommandLine, linuxGuestImages, type WorkloadOptions } from '../../guest/linux/images.ts';
import { listOpenFiles, type ProcessIdentity } from '../../src/linux/process.ts';
import { buildCommandLine, type Endpoints } from '../../src/qemu/command-line.ts';
import { killQemu, startQemu } from '../../src/qemu/process.ts';
import type { QmpClient } from '../../src/qemu/qmp.ts';
import type { VmSpec } from '../../src/qemu/spec.ts';
import { TEST_QEMU } from './capability.ts';
import { markChildren } from './leak-check.ts';
import { SHARED_MEMORY_PREFIX, TempDirectory } from './temp-directory.ts';
import { waitUntil } from './wait-until.ts';

export interface LinuxVmOptions {
  /** Default 256. */
  readonly memoryMiB?: number;
  readonly vcpus?: number;
  readonly machine?: string;
  readonly workload?: WorkloadOptions;
  /** Further words of the kernel command line. */
  readonly kernelWords?: readonly string[];
  readonly qemuArgs?: readonly string[];
}

const CONSOLE_INTERVAL_MS = 20;

export class LinuxVm implements AsyncDisposable {
  readonly identity: ProcessIdentity;
  readonly qmp: QmpClient;
  readonly ramBytes: number;
  readonly #endpoints: Endpoints;
  readonly #directory: TempDirectory;

  constructor(parts: {
    readonly spec: VmSpec;
    readonly endpoints: Endpoints;
    readonly directory: TempDirectory;
    readonly identity: ProcessIdentity;
    readonly qmp: QmpClient;
  }) {
    this.identity = parts.identity;
    this.qmp = parts.qmp;
    this.ramBytes = parts.spec.memoryBytes;
    this.#endpoints = parts.endpoints;
    this.#directory = parts.directory;
  }

  /** All that the guest has written. */
  get console(): string {
    return readFileSync(this.#endpoints.consoleLogPath, 'latin1');
  }

  /** QEMU's RAM file; it has no name any more. */
  get ramPath(): string {
    const file = listOpenFiles(this.identity.pid).find(({ path }) => path.startsWith(this.#endpoints.ramPath));
    if (file === undefined) throw new Error('QEMU has not got its RAM file open');
    return `/proc/${this.identity.pid}/fd/${file.fd}`;
  }

  /** The first heartbeat with this number or a later one. */
  heartbeat(number: number, timeoutMs = 30_000): Promise<Heartbeat> {
    return waitUntil(
      `heartbeat ${number}; the console says:\n${this.console.slice(-500)}`,
      () => {
        const beat = lastHeartbeat(this.console);
        return beat !== undefined && beat.number >= number ? beat : undefined;
      },
      { timeoutMs, intervalMs: CONSOLE_INTERVAL_MS },
    );
  }

  /** Waits until the guest has written whole lines with something like this in them, from character `from` on. */
  waitForConsole(pattern: RegExp, from = 0, timeoutMs = 30_000): Promise<string> {
    return waitUntil(`the guest writes ${pattern}`, () => pattern.exec(wholeLines(this.console.slice(from)))?.[0], {
      timeoutMs,
      intervalMs: CONSOLE_INTERVAL_MS,
    });
  }

  /** Types a line at the console and waits for the answer. */
  async command(line: string, answer: RegExp): Promise<string> {
    const from = this.console.length;
    const socket = connect(this.#endpoints.consoleSocketPath);
    try {
      const failed = new Promise<never>((_, reject) => socket.once('error', reject));
      socket.resume();
      socket.write(`${line}\n`);
      return await Promise.race([this.waitForConsole(answer, from), failed]);
    } finally {
      socket.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.qmp.close();
    await killQemu(this.identity);
    this.#directory[Symbol.dispose]();
  }
}

/** Starts it; the guest boots while the caller goes on. */
export async function startLinuxVm(options: LinuxVmOptions = {}): Promise<LinuxVm> {
  markChildren();
  const directory = new TempDirectory();
  try {
    const spec: VmSpec = {
      name: 'linux',
      memoryBytes: (options.memoryMiB ?? 256) * 2 ** 20,
      vcpus: options.vcpus ?? 1,
      machine: options.machine ?? 'q35',
      cpu: 'qemu64',
      accel: 'tcg',
      qemu: TEST_QEMU,
      boot: { ...linuxGuestImages(), cmdline: linuxGuestCommandLine(options.workload, options.kernelWords) },
      disks: [],
      nics: [],
      sharedMemory: [],
      qemuArgs: options.qemuArgs ?? [],
    };
    const endpoints: Endpoints = {
      ramPath: `${SHARED_MEMORY_PREFIX}${basename(directory.path)}`,
      qmpPath: directory.join('qmp.sock'),
      consoleSocketPath: directory.join('console.sock'),
      consoleLogPath: directory.join('console.log'),
    };
    const started = await startQemu({
      binary: spec.qemu,
      args: buildCommandLine(spec, endpoints, { uuid: randomUUID(), accel: 'tcg' }),
      logPath: directory.join('qemu.log'),
      qmpPath: endpoints.qmpPath,
      ramPaths: [endpoints.ramPath],
    });
    return new LinuxVm({ spec, endpoints, directory, ...started });
  } catch (error) {
    directory[Symbol.dispose]();
    throw error;
  }
}

function wholeLines(text: string): string {
  return text.slice(0, text.lastIndexOf('\n') + 1);
}
