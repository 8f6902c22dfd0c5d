/**
 * The block server of a VM, as its owner has it: started, found again, told what to do.
 *
 * Owns: the connection to it. Must hold: it outlives whoever started it, and there is never a second one for the same VM: a
 * new one is started only where the process of the last one has ended.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GodwitError } from '../../base/errors.ts';
import { programFile } from '../../base/program-file.ts';
import { launchDetached } from '../../linux/detached-process.ts';
import { isAlive, type ProcessIdentity, signalProcess, waitForExit } from '../../linux/process.ts';
import { logSize, readLogTail } from '../../qemu/log-tail.ts';
import { openDiskFile } from '../nbd/disk-file.ts';
import { DiskServerClient } from './control-client.ts';
import type { CancelledDisk, DiskServerStatus } from './control-words.ts';
import {
  diskServerPaths,
  readDiskServerRecord,
  type ServedDiskFacts,
  writeDiskServerRecord,
} from './disk-server-record.ts';

/** It is up in 0.2 s; on a machine that is busy with other things it takes longer. */
const START_TIMEOUT_MS = 20_000;
const START_POLL_MS = 10;
const END_TIMEOUT_MS = 2000;
/**
 * As small as a process of node can be kept: its data is not on the heap. A thread for each request that is with the
 * storage (MAX_RUNNING of served-disk.ts), so that one that hangs holds up no other.
 */
const NODE_FLAGS = ['--single-threaded-gc', '--initial-old-space-size=16', '--max-semi-space-size=2'];
const ENVIRONMENT = { UV_THREADPOOL_SIZE: '16' };

export class VmDiskServer implements Disposable {
  readonly directory: string;
  readonly disks: readonly ServedDiskFacts[];
  readonly process: ProcessIdentity;
  readonly #client: DiskServerClient;

  private constructor(
    directory: string,
    disks: readonly ServedDiskFacts[],
    identity: ProcessIdentity,
    client: DiskServerClient,
  ) {
    this.directory = directory;
    this.disks = disks;
    this.process = identity;
    this.#client = client;
  }

  /**
   * Starts it; the VM's requests wait until `admit`.
   * @param directory - of the VM's QMP socket; it is there
   * @param isRaw - whatever the first bytes look like: its guest may have written them
   * @throws GW_DISK_UNUSABLE, GW_DISK_SERVER; then nothing of it is left
   */
  static async start(
    directory: string,
    disks: readonly ServedDiskFacts[],
    { isRaw = true }: { readonly isRaw?: boolean } = {},
  ): Promise<VmDiskServer> {
    // Its own refusal would only be in its log.
    for (const { path, isReadOnly } of disks) openDiskFile(path, { isReadOnly, isRaw })[Symbol.dispose]();
    const earlier = readDiskServerRecord(directory)?.server;
    if (earlier && isAlive(earlier)) throw failure(`process ${earlier.pid} serves them already`);
    const paths = diskServerPaths(directory);
    const from = logSize(paths.log);
    writeDiskServerRecord(directory, { disks, server: null });
    const entry = fileURLToPath(programFile('storage/vm-disks/disk-server-main'));
    const words = [process.execPath, ...NODE_FLAGS, entry, directory];
    const server = await launchDetached(words, { logPath: paths.log, env: ENVIRONMENT });
    if (!server) throw failure(readLogTail(paths.log, from) || 'it ended at once');
    writeDiskServerRecord(directory, { disks, server });
    try {
      return new VmDiskServer(directory, disks, server, await connectToStarted(paths.controlSocket, server));
    } catch (error) {
      signalProcess(server, 'SIGKILL');
      await waitForExit(server, { timeoutMs: END_TIMEOUT_MS });
      throw failure(readLogTail(paths.log, from) || 'it does not answer', error);
    }
  }

  /**
   * The one that serves the disks of a VM. Undefined for a VM without served disks, and where it has died
   * (`readDiskServerRecord` tells which).
   * @throws GW_DISK_SERVER when it lives and does not answer
   */
  static async find(directory: string): Promise<VmDiskServer | undefined> {
    const record = readDiskServerRecord(directory);
    if (!record?.server || !isAlive(record.server)) return undefined;
    const { disks, server } = record;
    try {
      const client = await DiskServerClient.connect(diskServerPaths(directory).controlSocket);
      return new VmDiskServer(directory, disks, server, client);
    } catch (error) {
      if (!isAlive(server)) return undefined;
      throw error;
    }
  }

  /** Resolves when the connection to it has ended, as it does when its process ends. */
  get closed(): Promise<GodwitError> {
    return this.#client.closed;
  }

  /** QEMU's end of it. */
  get nbdSocket(): string {
    return diskServerPaths(this.directory).nbdSocket;
  }

  status(): Promise<DiskServerStatus> {
    return this.#client.call('status', {});
  }

  /** It ends with this QEMU. */
  async guard({ pid, startTicks }: ProcessIdentity): Promise<void> {
    await this.#client.call('guard', { pid, startTicks });
  }

  /** Every read, write and flush of the VM is answered with an error, until `admit`. */
  cancel(): Promise<readonly CancelledDisk[]> {
    return this.#client.call('cancel', {});
  }

  /** Resolves when none of its requests changes the images any more and all is on the storage: as long as that takes. */
  async seal(): Promise<void> {
    await this.#client.call('seal', {}, 0);
  }

  /** The VM is this host's: its requests go on. Idempotent. */
  async admit(): Promise<void> {
    await this.#client.call('admit', {});
  }

  /** Resolves when all that the VM has written so far is on the storage. */
  async sync(): Promise<void> {
    await this.#client.call('sync', {}, 0);
  }

  /** Ends it. Never throws. */
  async end(): Promise<void> {
    this[Symbol.dispose]();
    signalProcess(this.process, 'SIGKILL');
    await waitForExit(this.process, { timeoutMs: END_TIMEOUT_MS });
  }

  /** Lets go; it goes on. */
  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}

async function connectToStarted(path: string, server: ProcessIdentity): Promise<DiskServerClient> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return await DiskServerClient.connect(path);
    } catch (error) {
      if (!isAlive(server) || performance.now() > deadlineMs) throw error;
      await delay(START_POLL_MS);
    }
  }
}

function failure(reason: string, cause?: unknown): GodwitError {
  return new GodwitError('GW_DISK_SERVER', { reason }, cause === undefined ? undefined : { cause });
}
