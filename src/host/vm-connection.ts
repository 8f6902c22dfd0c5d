/**
 * The QMP connection to a VM of this host, kept for as long as no migration has the VM; with it goes the care for the VM's
 * block server.
 *
 * Owns: connecting, and connecting again after a while when QEMU does not answer; ending QEMU, over it if it can be asked. Must hold: while the engine has QEMU,
 * and after the VM has ended, no connection is opened or kept.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { explain, hasCode } from '../base/errors.ts';
import { isAlive, signalProcess, waitForExit } from '../linux/process.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import { QmpClient } from '../qemu/qmp.ts';
import type { Logger } from './logger.ts';
import { VmDiskCare } from './vm-disk-care.ts';
import type { Shutdown } from './vm-state.ts';

const ATTACH_TIMEOUT_MS = 5000;
const AGAIN_AFTER_MS = 5000; // another program may hold the only QMP connection for a while
/** Longer than QEMU takes to connect to its block server. */
const SUBMIT_AGAIN_MS = 20;

export interface VmConnectionPort {
  readonly record: VmRecord;
  readonly log: Logger;
  /** Aborted when the daemon lets go of the VM. */
  readonly disposed: AbortSignal;
  hasEnded(): boolean;
  /** The engine has QEMU. */
  isTaken(): boolean;
  onConnected(qemuVersion: string): void;
  /** QEMU's word for its state. */
  onStatus(status: string): void;
  onShutdown(shutdown: Shutdown): void;
  onUnreachable(reason: string): void;
}

interface Opening {
  /** Never rejects. */
  readonly done: Promise<void>;
  readonly abandon: AbortController;
}

export class VmConnection {
  readonly #port: VmConnectionPort;
  #opening: Opening | undefined;
  #qmp: QmpClient | undefined;
  #again: NodeJS.Timeout | undefined;

  #submitting: Promise<boolean> | undefined;
  readonly #disks: VmDiskCare;

  constructor(port: VmConnectionPort) {
    this.#port = port;
    this.#disks = new VmDiskCare({ ...port, onRevived: () => void this.refresh() });
  }

  /** The one that is open. */
  get qmp(): QmpClient | undefined {
    return this.#qmp;
  }

  /** The connection; one that is being opened is waited for. undefined while QEMU does not answer. */
  async reach(): Promise<QmpClient | undefined> {
    await this.#opening?.done;
    return this.#qmp;
  }

  /** Never throws: a failure is told, and tried again. */
  async open(): Promise<void> {
    this.#disks.attend();
    if (this.#qmp) return;
    this.#opening ??= this.#begin();
    await this.#opening.done;
  }

  /** Also gives up one that is being opened: QEMU's next client would wait behind it. */
  close(): void {
    clearTimeout(this.#again);
    this.#opening?.abandon.abort();
    this.#opening = undefined;
    const qmp = this.#qmp;
    this.#qmp = undefined;
    qmp?.close();
  }

  /** Asks QEMU for its state, which is right whatever events were missed. */
  async refresh(): Promise<void> {
    const { record, log, hasEnded, onStatus } = this.#port;
    const qmp = this.#qmp;
    if (!qmp || hasEnded()) return;
    try {
      const { status } = await qmp.execute<{ status: string }>('query-status', {}, { timeoutMs: ATTACH_TIMEOUT_MS });
      if (this.#qmp !== qmp || hasEnded()) return;
      if (status !== 'io-error' || !(await this.#submitAgain(qmp))) onStatus(status);
    } catch (error) {
      log.debug({ vm: record.name, reason: explain(error) }, 'query-status failed');
      // A connection that closed meanwhile is handled where it closes; QEMU's end where it ends.
      if (this.#qmp === qmp && !hasEnded()) this.#later(() => this.refresh());
    }
  }

  /**
   * QEMU has kept the requests that failed; those that its block server did not answer are sent again when that is there.
   * False when they failed for another reason. QEMU tells of each request: only the first one counts.
   */
  #submitAgain(qmp: QmpClient): Promise<boolean> {
    this.#submitting ??= this.#submit(qmp).finally(() => {
      this.#submitting = undefined;
    });
    return this.#submitting;
  }

  async #submit(qmp: QmpClient): Promise<boolean> {
    if (!(await this.#disks.explainsError())) return false;
    if (!this.#disks.isThere) return true;
    await delay(SUBMIT_AGAIN_MS);
    if (this.#qmp === qmp) await qmp.execute('cont');
    return true;
  }

  /** Asks the guest. QEMU that does not answer in time may have heard, and does it later. */
  async powerDown(): Promise<void> {
    try {
      await this.#qmp?.execute('system_powerdown');
    } catch (error) {
      if (!hasCode(error, 'GW_QMP_TIMEOUT') && !hasCode(error, 'GW_QMP_CLOSED')) throw error;
    }
  }

  /** Ends QEMU: by asking it, or where it does not listen or is not gone after `timeoutMs`, by force. */
  async quit(timeoutMs: number): Promise<void> {
    const { record, log } = this.#port;
    try {
      await this.#qmp?.execute('quit', {}, { timeoutMs });
    } catch (error) {
      log.debug({ vm: record.name, reason: explain(error) }, 'quit not answered');
    }
    if (await waitForExit(record, { timeoutMs })) return;
    signalProcess(record, 'SIGKILL');
    await waitForExit(record, { timeoutMs });
  }

  #begin(): Opening {
    clearTimeout(this.#again);
    const abandon = new AbortController();
    const done = this.#connect(abandon.signal).finally(() => {
      if (this.#opening?.abandon === abandon) this.#opening = undefined;
    });
    return { done, abandon };
  }

  async #connect(abandoned: AbortSignal): Promise<void> {
    const { record, log, disposed, hasEnded, isTaken, onConnected, onShutdown, onUnreachable } = this.#port;
    const signal = AbortSignal.any([disposed, abandoned]);
    try {
      const qmp = await QmpClient.connect(record.qmpPath, { timeoutMs: ATTACH_TIMEOUT_MS, signal });
      if (signal.aborted || isTaken()) {
        qmp.close();
        return;
      }
      this.#qmp = qmp;
      onConnected(qmp.qemuVersion);
      qmp.onEvent((event) => {
        if (event.event === 'SHUTDOWN') {
          const { guest, reason } = event.data;
          onShutdown({ guest: guest === true, reason: String(reason ?? '') });
        }
        void this.refresh();
      });
      void qmp.closed.then(() => this.#lost(qmp));
      await this.refresh();
    } catch (error) {
      if (signal.aborted || hasEnded() || isTaken()) return;
      log.warn({ vm: record.name, reason: explain(error) }, 'no QMP connection');
      onUnreachable(explain(error));
      this.#tryAgainLater();
    }
  }

  #lost(qmp: QmpClient): void {
    const { record, disposed, hasEnded } = this.#port;
    if (this.#qmp !== qmp) return;
    this.#qmp = undefined;
    if (!disposed.aborted && !hasEnded() && isAlive(record)) this.#tryAgainLater();
  }

  #tryAgainLater(): void {
    const { disposed, hasEnded, isTaken } = this.#port;
    if (disposed.aborted) return;
    this.#later(async () => {
      if (!hasEnded() && !isTaken()) await this.open();
    });
  }

  #later(action: () => Promise<void>): void {
    clearTimeout(this.#again);
    this.#again = setTimeout(() => void action(), AGAIN_AFTER_MS).unref();
  }
}
