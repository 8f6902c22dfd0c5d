/**
 * The care for a VM's block server, for as long as no migration has the VM.
 *
 * Owns: the connection to the server, and starting another one when it has died. Must hold: the VM's requests go on when the
 * VM is this host's; a VM that stands still because its server was away goes on, one that a user has paused does not. Never throws:
 * a failure is told, and tried again.
 */
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { explain } from '../base/errors.ts';
import { isAlive } from '../linux/process.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import { readDiskServerRecord } from '../storage/vm-disks/disk-server-record.ts';
import { VmDiskServer } from '../storage/vm-disks/vm-disk-server.ts';
import type { Logger } from './logger.ts';

/** Between two starts: one that dies at once would keep the machine busy. */
const AGAIN_AFTER_MS = 5000;
/** Longer than QEMU takes to send again what has failed while it connected. */
const NEW_CLIENT_MS = 5000;

export interface VmDiskCarePort {
  readonly record: VmRecord;
  readonly log: Logger;
  /** Aborted when the daemon lets go of the VM. */
  readonly disposed: AbortSignal;
  hasEnded(): boolean;
  /** The engine has QEMU. */
  isTaken(): boolean;
  /** The server is there again. */
  onRevived(): void;
}

export class VmDiskCare {
  readonly #port: VmDiskCarePort;
  #isAttending = false;
  #startedAtMs = Number.NEGATIVE_INFINITY;
  #server: VmDiskServer | undefined;

  constructor(port: VmDiskCarePort) {
    this.#port = port;
  }

  /**
   * Whether the VM's requests fail because its server was away: QEMU connects again with its next request, in the
   * background, and what it is asked until then fails as well (block/nbd.c, a reconnect-delay of 0).
   */
  async explainsError(): Promise<boolean> {
    if (this.#isAttending && !this.#server) return true;
    const disks = (await this.#server?.status())?.disks ?? [];
    return disks.some(({ clientAgeMs }) => clientAgeMs === null || clientAgeMs < NEW_CLIENT_MS);
  }

  /** The server is there, and the VM's requests go on. */
  get isThere(): boolean {
    return this.#server !== undefined;
  }

  /** The VM is this host's. Idempotent. */
  attend(): void {
    if (this.#isAttending || !readDiskServerRecord(this.#directory)) return;
    this.#isAttending = true;
    this.#attend()
      .catch((error: unknown) => {
        this.#port.log.error({ vm: this.#port.record.name, reason: explain(error) }, 'no block server');
        return delay(AGAIN_AFTER_MS, undefined, { ref: false });
      })
      .finally(() => {
        this.#isAttending = false;
        if (this.#isWanted()) this.attend();
      });
  }

  /** Until the server ends, or nobody cares for it any more. */
  async #attend(): Promise<void> {
    const { disposed, log, onRevived, record } = this.#port;
    const found = await VmDiskServer.find(this.#directory);
    using server = found ?? (await this.#start());
    const letGo = (): void => server[Symbol.dispose]();
    disposed.addEventListener('abort', letGo, { once: true });
    try {
      await server.guard(record);
      // A migration may have it meanwhile, and says itself whose turn it is.
      if (!this.#isWanted()) return;
      await server.admit();
      this.#server = server;
      if (!found) onRevived();
      await server.closed;
    } finally {
      this.#server = undefined;
      disposed.removeEventListener('abort', letGo);
    }
    if (!this.#isWanted()) return;
    log.warn({ vm: record.name, pid: server.process.pid }, 'the block server has ended; another one is started');
  }

  async #start(): Promise<VmDiskServer> {
    const { disposed } = this.#port;
    const waitMs = this.#startedAtMs + AGAIN_AFTER_MS - performance.now();
    if (waitMs > 0) await delay(waitMs, undefined, { ref: false, signal: disposed });
    this.#startedAtMs = performance.now();
    return await VmDiskServer.start(this.#directory, readDiskServerRecord(this.#directory)!.disks);
  }

  #isWanted(): boolean {
    const { disposed, hasEnded, isTaken, record } = this.#port;
    return !disposed.aborted && !hasEnded() && !isTaken() && isAlive(record);
  }

  get #directory(): string {
    return dirname(this.#port.record.qmpPath);
  }
}
