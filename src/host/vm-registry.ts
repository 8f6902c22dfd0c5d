/**
 * The VMs of this host.
 *
 * Owns: which names are taken. Must hold: one name is one VM, or one migration that will bring it; a VM whose QEMU has
 * ended keeps its entry (so that one can see how) but gives way to a new one of the same name.
 */
import type { AdoptBody, VmSpecBody, VmView } from '../api/vm-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { isAlive } from '../linux/process.ts';
import type { MigrationHandle } from '../migration/handle.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import { type ArrivingVm, ArrivingVms, arrivingView } from './arriving-vm.ts';
import type { IncomingPromises } from './incoming-promises.ts';
import { KnownEpochs } from './known-epochs.ts';
import { LeavingVms } from './leaving-vms.ts';
import type { Logger } from './logger.ts';
import { UnsavedVms } from './unsaved-vms.ts';
import { Vm, type VmContext } from './vm.ts';
import { adoptVm } from './vm-adopt.ts';
import { createVm } from './vm-create.ts';
import { type StoredVm, VmStore } from './vm-store.ts';

export interface RegistryOptions {
  readonly hostName: string;
  readonly stateDirectory: string;
  readonly promises: IncomingPromises;
  readonly log: Logger;
  changed(vm: VmView): void;
  removed(name: string, reason: string): void;
  absenceOf(name: string): GodwitError;
}

export class VmRegistry {
  readonly epochs: KnownEpochs;
  readonly #options: RegistryOptions;
  readonly #store: VmStore;
  readonly #unsaved: UnsavedVms;
  readonly #vms = new Map<string, Vm>();
  readonly arriving = new ArrivingVms();
  readonly #leaving = new LeavingVms();
  /** Names whose QEMU is being started. */
  readonly #starting = new Set<string>();
  readonly #context: VmContext;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.epochs = new KnownEpochs(options.stateDirectory, options.log);
    this.#store = new VmStore(options.stateDirectory);
    this.#unsaved = new UnsavedVms(this.#store, options.log);
    this.#context = {
      hostName: options.hostName,
      log: options.log,
      save: (vm) => this.#unsaved.save(vm),
      changed: (vm) => {
        if (this.#vms.get(vm.name) === vm) options.changed(vm.view());
      },
    };
  }

  /** Finds the VMs of an earlier daemon again. Does not connect to them yet: see `attachAll`. */
  restore(): void {
    const { vms, damaged } = this.#store.loadAll();
    for (const stored of vms) this.#vms.set(stored.record.name, new Vm(this.#context, stored));
    for (const { path, reason } of damaged)
      this.#options.log.error({ path, reason }, 'cannot read a VM record; left as it is');
  }

  /** @param except - names of VMs that a recovered migration has */
  async attachAll(except: ReadonlySet<string>): Promise<void> {
    await Promise.all([...this.#vms.values()].filter((vm) => !except.has(vm.name)).map((vm) => vm.attach()));
  }

  list(): VmView[] {
    return [...new Set([...this.#vms.keys(), ...this.arriving.names(), ...this.#leaving.names()])]
      .sort()
      .map((name) => this.view(name));
  }

  /** Throws what `absenceOf` gives; GW_MIGRATION_BUSY for a VM that has not arrived yet. */
  get(name: string): Vm {
    const coming = this.#comingAs(name);
    if (coming) throw new GodwitError('GW_MIGRATION_BUSY', { vm: name, id: coming.migration });
    const vm = this.#vms.get(name);
    if (vm) return vm;
    const leaving = this.#leaving.get(name)?.migration;
    if (leaving) throw new GodwitError('GW_MIGRATION_BUSY', { vm: name, id: leaving });
    throw this.#options.absenceOf(name);
  }

  view(name: string): VmView {
    return this.#viewOf(name) ?? this.get(name).view();
  }

  find(name: string): Vm | undefined {
    return this.#vms.get(name);
  }

  /** The VM that the migration is about: not one of the same name that was there before, or came later. */
  ofMigration({ vm: name, qemu }: Pick<MigrationHandle, 'vm' | 'qemu'>): Vm | undefined {
    const vm = this.#vms.get(name);
    return vm && qemu && vm.record.pid === qemu.pid && vm.record.startTicks === qemu.startTicks ? vm : undefined;
  }

  async create(spec: VmSpecBody): Promise<VmView> {
    const { hostName: name, stateDirectory, promises } = this.#options;
    return this.#start(spec.name, () => createVm(spec, { name, stateDirectory, promisedBytes: promises.ramBytes }));
  }

  async adopt(request: AdoptBody): Promise<VmView> {
    for (const vm of this.#vms.values()) {
      if (vm.record.pid !== request.pid || vm.hasEnded) continue;
      const reason = `process ${request.pid} is this VM already`;
      throw new GodwitError('GW_CONFLICT', { kind: 'VM', name: vm.name, reason });
    }
    return this.#start(request.name, () => adoptVm(request));
  }

  /** Forgets a VM that has ended. Throws GW_CONFLICT while its QEMU lives, GW_MIGRATION_BUSY where another takes its name. */
  remove(name: string): void {
    const vm = this.get(name);
    const reason = 'its QEMU runs; stop or kill it first';
    if (!vm.hasEnded) throw new GodwitError('GW_CONFLICT', { kind: 'VM', name, reason });
    // The directory may be the next one's by now.
    this.#forget(vm, !this.#starting.has(name) && !this.arriving.has(name));
    this.#tellGone(name, 'removed');
  }

  /** Whether a VM of this name may come here now; the reason if not. */
  refusalFor(name: string): string | undefined {
    if (this.arriving.get(name) || this.#starting.has(name))
      return `a VM named ${name} is on its way to this host already`;
    const vm = this.#vms.get(name);
    return vm && !vm.hasEnded ? `this host already has a VM named ${name}` : undefined;
  }

  /** The migration that was admitted has begun. */
  announceArriving(name: string, migration: string): void {
    const vm = this.arriving.announce(name, migration);
    if (vm) this.#options.changed(arrivingView(vm));
  }

  /** The VM has arrived and is this host's. */
  async arrived(record: VmRecord, migration: string): Promise<void> {
    this.arriving.end(record.name, migration);
    const old = this.#vms.get(record.name);
    const isHere = old?.record.qmpPath === record.qmpPath;
    if (isHere && old?.isEnding) return; // it was killed meanwhile
    if (old && !isHere && !old.hasEnded) {
      const { name, pid, qmpPath } = record;
      if (isAlive(record))
        this.#options.log.error({ vm: name, pid, qmpPath }, 'its name is taken: adopt it under another');
      return;
    }
    // A migration that a restart recovered may bring the very VM whose record is here already.
    if (isHere) old?.dispose();
    else if (old) this.#forget(old, false);
    const stored: StoredVm = { record, spec: null, notes: [], ended: null };
    this.epochs.note(record, record.epoch);
    this.#unsaved.save(stored);
    const vm = new Vm(this.#context, stored);
    vm.keepLease(migration);
    this.#vms.set(record.name, vm);
    await vm.attach();
    this.#options.changed(vm.view());
  }

  /** The VM did not come. */
  notArrived(name: string, migration: string): void {
    if (this.arriving.end(name, migration)) this.#tellGone(name, 'the migration to here did not complete');
  }

  /** The VM belongs to another host now. Its files stay until `cleanUp`: its QEMU may still serve its memory. */
  left(
    vm: Vm,
    { to, epoch = vm.record.epoch }: { to: string; epoch?: number },
    migration: string,
  ): { cleanUp(): void } {
    const { name } = vm;
    this.epochs.note(vm.record, epoch);
    this.#options.changed(this.#leaving.add(vm.view(), to, epoch, migration));
    vm.dispose();
    this.#vms.delete(name);
    this.#unsaved.forget(name);
    this.#store.remove(name, { everything: false });
    const cleanUp = (): void => {
      if (this.#leaving.end(name, migration)) this.#tellGone(name, `it is at ${to} now`);
      // A QEMU that was kept can be reached by its files only.
      if (!isAlive(vm.record)) this.#store.removeInstance(vm.record);
    };
    return { cleanUp };
  }

  /** Keeps a VM from everybody: nobody knows whose it is. False when there is none, or its QEMU has ended. */
  withhold(name: string, reason: string): boolean {
    const vm = this.#vms.get(name);
    if (!vm || vm.hasEnded || !isAlive(vm.record)) return false;
    vm.withhold(reason);
    return true;
  }

  /** Lets go of every VM; all go on. */
  dispose(): void {
    for (const vm of this.#vms.values()) vm.dispose();
    this.#unsaved[Symbol.dispose]();
  }

  async #start(name: string, start: () => Promise<StoredVm>): Promise<VmView> {
    if (this.refusalFor(name) !== undefined) throw new GodwitError('GW_VM_EXISTS', { name });
    this.#starting.add(name);
    try {
      const stored = await start();
      const old = this.#vms.get(name);
      if (old) this.#forget(old, false);
      this.#unsaved.save(stored);
      const vm = new Vm(this.#context, stored);
      this.#vms.set(name, vm);
      await vm.attach();
      this.#options.changed(vm.view());
      return vm.view();
    } finally {
      this.#starting.delete(name);
    }
  }

  #viewOf(name: string): VmView | undefined {
    const coming = this.#comingAs(name);
    return coming ? arrivingView(coming) : (this.#vms.get(name)?.view() ?? this.#leaving.get(name));
  }

  /** There may be another one of the name. */
  #tellGone(name: string, reason: string): void {
    const view = this.#viewOf(name);
    if (view) this.#options.changed(view);
    else this.#options.removed(name, reason);
  }

  /** One that comes, whose begun migration takes the name from a VM that has ended. */
  #comingAs(name: string): ArrivingVm | undefined {
    const coming = this.arriving.get(name);
    return coming && (this.#vms.get(name)?.hasEnded ?? true) ? coming : undefined;
  }

  #forget(vm: Vm, everything: boolean): void {
    vm.dispose();
    this.#vms.delete(vm.name);
    this.#unsaved.forget(vm.name);
    this.#store.removeInstance(vm.record);
    this.#store.remove(vm.name, { everything });
  }
}
