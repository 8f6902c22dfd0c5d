/**
 * QEMU's mirror: a job that copies a disk of a VM that runs to an NBD export, and keeps the copy up to date.
 *
 * Owns: the names of jobs and nodes that godwit makes in a VM's QEMU. Must hold: a copy is whole only after `finish`, while
 * the VM stands still; afterwards, or after `abandonMirrors`, QEMU has neither job nor node of ours, and no connection.
 * Must never: complete a job (`block-job-complete` would make the VM write to the copy).
 * https://www.qemu.org/docs/master/interop/live-block-operations.html
 */
import { asGodwitError, GodwitError, hasCode } from '../base/errors.ts';
import type { QmpClient, QmpEvent } from './qmp.ts';

/** `background`: the VM's writes are copied after it has them; `write-blocking`: before, so that none is left to copy. */
export type MirrorMode = 'background' | 'write-blocking';

export interface MirrorProgress {
  /** Of what there is to copy, which grows as the VM writes. */
  readonly totalBytes: number;
  readonly copiedBytes: number;
  /** All was copied once; from now on only what is written is. */
  readonly ready: boolean;
}

interface BlockJob {
  readonly device: string;
  readonly len: number;
  readonly offset: number;
  readonly ready: boolean;
}

export interface MirrorOptions {
  /** Of the disk. */
  readonly node: string;
  readonly disk: string;
  /** Of this QEMU's disks that are copied. */
  readonly index: number;
  /** Unix socket of an NBD server. */
  readonly socketPath: string;
  readonly exportName: string;
  readonly mode: MirrorMode;
}

const PREFIX = 'godwit-mirror-';
/** What is under way at the end is a few requests, and a flush of the other host's storage. */
const FINISH_TIMEOUT_MS = 12_000;
const ABANDON_TIMEOUT_MS = 5000;

export class DiskMirror {
  /** Never resolves; rejects when the job has ended by itself. */
  readonly failed: Promise<never>;
  readonly #qmp: QmpClient;
  readonly #disk: string;
  readonly #name: string;
  readonly #ready = Promise.withResolvers<void>();
  readonly #completed = Promise.withResolvers<void>();
  readonly #stopListening: () => void;
  #isFinishing = false;
  #isOver = false;

  private constructor(qmp: QmpClient, { disk, index }: MirrorOptions) {
    this.#qmp = qmp;
    this.#disk = disk;
    this.#name = `${PREFIX}${index}`;
    const failure = Promise.withResolvers<never>();
    this.failed = failure.promise;
    for (const promise of [this.failed, this.#ready.promise, this.#completed.promise]) promise.catch(() => undefined);
    const fail = (reason: string): void => {
      if (this.#isOver) return;
      const error = new GodwitError('GW_DISK_COPY', { disk: this.#disk, reason });
      for (const { reject } of [failure, this.#ready, this.#completed]) reject(error);
    };
    this.#stopListening = qmp.onEvent((event) => this.#hear(event, fail));
    qmp.closed.then(
      () => fail('QEMU has ended'),
      () => undefined,
    );
  }

  /** @throws GW_DISK_COPY */
  static async start(qmp: QmpClient, options: MirrorOptions): Promise<DiskMirror> {
    const mirror = new DiskMirror(qmp, options);
    try {
      await qmp.execute('blockdev-add', {
        driver: 'nbd',
        'node-name': mirror.#name,
        server: { type: 'unix', path: options.socketPath },
        export: options.exportName,
        // What is zero, and what the guest discards, takes no room there.
        discard: 'unmap',
        'detect-zeroes': 'unmap',
      });
      await qmp.execute('blockdev-mirror', {
        'job-id': mirror.#name,
        device: options.node,
        target: mirror.#name,
        sync: 'full',
        'copy-mode': options.mode,
        // The VM goes on, whatever happens to its copy.
        'on-target-error': 'report',
      });
      return mirror;
    } catch (error) {
      mirror.#stopListening();
      throw mirror.#explain(error);
    }
  }

  /** Resolves when all was copied once. @throws GW_DISK_COPY */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  async progress(): Promise<MirrorProgress | undefined> {
    const jobs = await this.#qmp.execute<BlockJob[]>('query-block-jobs');
    const job = jobs.find(({ device }) => device === this.#name);
    return job && { totalBytes: job.len, copiedBytes: job.offset, ready: job.ready };
  }

  /** From now on what the VM writes is copied before it goes on. False: this QEMU cannot change that (before 8.2). */
  async makeBlocking(): Promise<boolean> {
    try {
      const change = { id: this.#name, type: 'mirror', 'copy-mode': 'write-blocking' };
      await this.#qmp.execute('block-job-change', change);
      return true;
    } catch (error) {
      if (hasCode(error, 'GW_QMP_ERROR')) return false;
      throw error;
    }
  }

  /** The VM stands still: the copy is as the disk is, and on the other host's storage. @throws GW_DISK_COPY */
  async finish(): Promise<void> {
    this.#isFinishing = true;
    try {
      // Of a job that is ready this is its orderly end: it copies what is left and leaves the disk where it was.
      await this.#qmp.execute('block-job-cancel', { device: this.#name });
      await within(this.#completed.promise, FINISH_TIMEOUT_MS);
      // A node that stays would keep QEMU from giving up its disks.
      await this.#qmp.execute('blockdev-del', { 'node-name': this.#name });
    } catch (error) {
      throw this.#explain(error);
    } finally {
      this.forget();
    }
  }

  /** Nothing of it is told any more. */
  forget(): void {
    this.#isOver = true;
    this.#stopListening();
  }

  #hear({ event, data }: QmpEvent, fail: (reason: string) => void): void {
    if (data['device'] !== this.#name) return;
    if (event === 'BLOCK_JOB_READY') this.#ready.resolve();
    if (event !== 'BLOCK_JOB_COMPLETED' && event !== 'BLOCK_JOB_CANCELLED') return;
    const isWhole = event === 'BLOCK_JOB_COMPLETED' && this.#isFinishing && data['error'] === undefined;
    if (isWhole) this.#completed.resolve();
    else fail(String(data['error'] ?? 'the job was cancelled'));
  }

  #explain(error: unknown): GodwitError {
    const known = asGodwitError(error);
    if (known.code === 'GW_DISK_COPY' || known.code === 'GW_QMP_CLOSED') return known;
    const reason = String(known.details['reason'] ?? known.message);
    return new GodwitError('GW_DISK_COPY', { disk: this.#disk, reason }, { cause: error });
  }
}

/** Whatever godwit has begun in this QEMU, also an earlier process of it, is gone afterwards; its disks are as they were. */
export async function abandonMirrors(qmp: QmpClient): Promise<void> {
  const isOurs = (name: string): boolean => name.startsWith(PREFIX);
  const list = async (): Promise<BlockJob[]> =>
    (await qmp.execute<BlockJob[]>('query-block-jobs')).filter(({ device }) => isOurs(device));
  const jobs = await list();
  for (const { device } of jobs) {
    const ended = qmp.waitForEvent(
      ({ event, data }) => /^BLOCK_JOB_(COMPLETED|CANCELLED)$/.test(event) && data['device'] === device,
      { timeoutMs: ABANDON_TIMEOUT_MS },
    );
    ended.catch(() => undefined);
    await qmp.execute('block-job-cancel', { device, force: true }).catch(ignoreRefusal);
    if ((await list()).some((job) => job.device === device)) await ended;
  }
  const nodes = await qmp.execute<{ 'node-name'?: string }[]>('query-named-block-nodes', { flat: true });
  for (const { 'node-name': name = '' } of nodes) {
    if (isOurs(name)) await qmp.execute('blockdev-del', { 'node-name': name });
  }
}

/** It has ended in the same moment. */
function ignoreRefusal(error: unknown): void {
  if (!hasCode(error, 'GW_QMP_ERROR')) throw error;
}

async function within(work: Promise<void>, timeoutMs: number): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`it took longer than ${timeoutMs} ms`)), timeoutMs);
  try {
    await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
