/**
 * One VM on this host: its QEMU process, its state, and what a user can do with it.
 *
 * Owns: the VM's state and the watch on QEMU's end. Must hold: while a migration has the VM (vm-lease.ts) nothing here
 * talks to QEMU or changes the record; every change is told through `changed`.
 */
import { dirname } from 'node:path';
import type { VmEnd, VmState, VmView } from '../api/vm-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { isAlive, signalProcess, waitForExit } from '../linux/process.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import type { QmpClient } from '../qemu/qmp.ts';
import type { Logger } from './logger.ts';
import { viewOfVm } from './shown-vm.ts';
import { VmConnection } from './vm-connection.ts';
import { type LeaseContext, type LeasePurpose, VmLease } from './vm-lease.ts';
import { explainEnd, type Shutdown, stateOfEnd, stateOfStatus } from './vm-state.ts';
import type { StoredVm } from './vm-store.ts';

const QUIT_TIMEOUT_MS = 5000;

/** What a VM needs from its surroundings. */
export interface VmContext extends LeaseContext {
  readonly hostName: string;
  readonly log: Logger;
  /** Never throws: nothing that has happened is undone by a disk that is full. */
  save(vm: StoredVm): void;
  changed(vm: Vm): void;
  sharedMemoryOf(record: VmRecord): VmView['sharedMemory'];
}

export class Vm {
  readonly #context: VmContext;
  #stored: StoredVm;
  #state: VmState = 'unknown';
  #notes: string[] = [];
  #qemuVersion: string | null = null;
  readonly #lease: VmLease;
  readonly #connection: VmConnection;
  /** What a user asked for that ends QEMU. */
  #ending: 'stopped' | 'killed' | null = null;
  /** The reason of QEMU's own SHUTDOWN event. */
  #shutdown: Shutdown | null = null;
  readonly #disposed = new AbortController();
  #watching = false;

  constructor(context: VmContext, stored: StoredVm) {
    this.#context = context;
    this.#stored = stored;
    this.#lease = new VmLease(stored.record.name, context);
    this.#connection = new VmConnection({
      record: stored.record,
      log: context.log,
      disposed: this.#disposed.signal,
      hasEnded: () => this.hasEnded,
      isTaken: () => this.#lease.isExclusive,
      onConnected: (qemuVersion) => {
        this.#notes = [];
        this.#qemuVersion = qemuVersion;
      },
      onStatus: (status) => this.#setState(stateOfStatus(status)),
      onShutdown: (shutdown) => {
        this.#shutdown = shutdown;
      },
      onUnreachable: (reason) => {
        this.#state = 'unknown';
        this.#notes = [`QEMU does not answer on its QMP socket: ${reason}`];
        context.changed(this);
      },
    });
    if (stored.ended) this.#state = stateOfEnd(stored.ended);
  }

  get name(): string {
    return this.#stored.record.name;
  }
  get record(): VmRecord {
    return this.#stored.record;
  }
  get stored(): StoredVm {
    return this.#stored;
  }
  /** Id of the migration that has it. */
  get migration(): string | null {
    return this.#lease.migration;
  }
  get hasEnded(): boolean {
    return this.#stored.ended !== null;
  }
  /** Its guest works, and nobody has it. */
  get isAtWork(): boolean {
    return this.#state === 'running' && !this.#lease.isExclusive && this.migration === null && !this.isEnding;
  }
  /** It has ended, or its user ends it. */
  get isEnding(): boolean {
    return this.hasEnded || this.#ending !== null;
  }

  view(): VmView {
    const { isLeaving, migration } = this.#lease;
    const { hostName: owner, sharedMemoryOf } = this.#context;
    const state = isLeaving ? 'leaving' : this.#state;
    const sharedMemory = sharedMemoryOf(this.record);
    const told = { qemuVersion: this.#qemuVersion, notes: this.#notes };
    return viewOfVm(this.#stored, { owner, state, migration, sharedMemory, ...told });
  }

  /** Connects to QEMU and starts watching it. Never throws: what goes wrong becomes state and note. */
  async attach(): Promise<void> {
    if (this.hasEnded || this.#lease.isWithheld) return;
    if (!isAlive(this.record)) {
      this.#end({ how: 'lost', reason: 'QEMU was gone when the daemon looked for it' });
      return;
    }
    this.#watchExit();
    await this.#connection.open();
  }

  /** Lets go of QEMU, which goes on. */
  dispose(): void {
    this.#disposed.abort();
    this.#connection.close();
  }

  /** Its QEMU, to be asked or told something. Throws when somebody has it, it has ended, or it does not answer. */
  async reach(): Promise<QmpClient> {
    const qmp = await this.#connection.reach();
    // Somebody may have taken it meanwhile, or it may have ended.
    this.#lease.refuseExclusive();
    this.#notEnded();
    if (!qmp) throw this.#conflict(this.#notes[0] ?? 'QEMU does not answer');
    return qmp;
  }

  async pause(): Promise<void> {
    this.#ready();
    await (await this.reach()).execute('stop');
    await this.#connection.refresh();
  }

  async resume(): Promise<void> {
    this.#ready();
    await (await this.reach()).execute('cont');
    await this.#connection.refresh();
  }

  /** Asks the guest to power down; QEMU is told to quit when it has not after `timeoutMs`, or cannot hear. */
  async stop(timeoutMs: number): Promise<void> {
    this.#ready();
    this.#ending = 'stopped';
    try {
      const qmp = await this.#connection.reach();
      this.#lease.refuseExclusive();
      // Also one that has not said how it is may have a guest that runs, and hears.
      const asked = timeoutMs > 0 && qmp !== undefined && ['running', 'unknown'].includes(this.#state);
      if (asked) await this.#connection.powerDown();
      if (asked && (await waitForExit(this.record, { timeoutMs }))) return await this.#ended();
      await this.#connection.quit(QUIT_TIMEOUT_MS);
      await this.#ended();
    } finally {
      this.#ending = this.hasEnded ? this.#ending : null;
    }
  }

  async kill(): Promise<void> {
    this.#lease.refuseKill();
    this.#notEnded();
    this.#ending = 'killed';
    signalProcess(this.record, 'SIGKILL');
    if (!(await waitForExit(this.record, { timeoutMs: QUIT_TIMEOUT_MS }))) throw this.#conflict('QEMU does not end');
    await this.#ended();
  }

  /** Gives QEMU to a migration or a check. Throws when somebody has it or it has ended. */
  takeLease(id: string, purpose: LeasePurpose): void {
    this.#ready();
    this.#lease.take(id, purpose);
    this.#connection.close();
    this.#context.changed(this);
  }

  /** Keeps others from migrating a VM that has arrived but whose migration still goes on. */
  keepLease(id: string): void {
    this.#lease.keep(id);
  }

  /** The VM is the daemon's again. */
  async endLease(id: string): Promise<void> {
    if (this.#lease.end(id)) await this.attach();
    this.#context.changed(this);
  }

  /** Nobody knows whose the VM is: QEMU is left as it is, and no one gets it. */
  withhold(reason: string): void {
    this.#lease.withhold(reason);
    this.#notes = [reason];
    this.#state = 'unknown';
    this.#context.changed(this);
  }

  #setState(state: VmState): void {
    const before = this.#state;
    this.#state = state;
    if (before !== state) this.#context.changed(this);
  }

  #watchExit(): void {
    if (this.#watching) return;
    this.#watching = true;
    void waitForExit(this.record, { signal: this.#disposed.signal }).then(async (exited) => {
      this.#watching = false;
      // While a migration has it, the migration says what became of the VM.
      if (!exited || this.#disposed.signal.aborted || this.#lease.isExclusive) return;
      await this.#ended();
    });
  }

  async #ended(): Promise<void> {
    if (this.hasEnded) return;
    // What QEMU said last may still be on its way through the socket.
    const { qmp } = this.#connection;
    if (qmp) await Promise.race([qmp.closed, new Promise((resolve) => setTimeout(resolve, 500))]);
    if (this.hasEnded) return;
    this.#end(explainEnd(this.#ending, this.#shutdown, dirname(this.record.qmpPath)));
  }

  #end(end: Pick<VmEnd, 'how' | 'reason'>): void {
    this.#connection.close();
    this.#stored = { ...this.#stored, ended: { atMs: Date.now(), ...end } };
    this.#state = stateOfEnd(end);
    this.#notes = [];
    this.#context.save(this.#stored);
    this.#context.log.info({ vm: this.name, ...end }, 'QEMU has ended');
    this.#context.changed(this);
  }

  #ready(): void {
    this.#lease.refuseExclusive();
    this.#notEnded();
    if (this.#ending !== null) throw this.#conflict('it is being stopped');
  }

  #notEnded(): void {
    if (this.#stored.ended) throw this.#conflict(`its QEMU has ended (${this.#stored.ended.reason})`);
  }

  #conflict(reason: string): GodwitError {
    return new GodwitError('GW_CONFLICT', { kind: 'VM', name: this.name, reason });
  }
}
