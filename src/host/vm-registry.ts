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
import { type ArrivingVms, arrivingView } from './arriving-vm.ts';
import { Groups } from './groups.ts';
import { KnownEpochs } from './known-epochs.ts';
import { MacClaims } from './mac-claims.ts';
import type { RecoveredUpgrades, ReplacedQemu } from './recovered-upgrades.ts';
import type { RegistryOptions } from './registry-options.ts';
import { SharedRegions } from './shared-regions.ts';
import { viewOfRegions } from './shown-vm.ts';
import { Vm, type VmContext } from './vm.ts';
import { adoptVm } from './vm-adopt.ts';
import { createVm } from './vm-create.ts';
import { VmNames } from './vm-names.ts';
import { VmRecords } from './vm-records.ts';
import type { StoredVm } from './vm-store.ts';

export class VmRegistry {
  readonly epochs: KnownEpochs;
  readonly regions: SharedRegions;
  readonly groups: Groups;
  readonly macs: MacClaims;
  readonly #options: RegistryOptions;
  readonly #records: VmRecords;
  readonly #names = new VmNames();
  readonly #vms: Map<string, Vm> = this.#names.here;
  readonly arriving: ArrivingVms = this.#names.arriving;
  readonly #context: VmContext;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.epochs = new KnownEpochs(options.stateDirectory, options.log);
    this.#records = new VmRecords(options.stateDirectory, options.log);
    this.regions = new SharedRegions({ ...options, changed: (names) => this.#tellChanged(names) });
    this.groups = new Groups(this.regions);
    this.macs = new MacClaims(options.fleetKey ?? `host ${options.hostName}`, (mac) => this.#names.holderOf(mac));
    this.#context = {
      hostName: options.hostName,
      log: options.log,
      save: (vm) => {
        this.#records.save(vm);
        if (vm.ended) this.regions.release(vm.record);
      },
      isBeingReplaced: (name) => this.#records.isBeingReplaced(name),
      sharedMemoryOf: (record) => viewOfRegions(this.regions.of(record), record.name),
      changed: (vm) => {
        if (this.#vms.get(vm.name) === vm) options.changed(vm.view());
      },
    };
  }

  /** Finds the VMs of an earlier daemon again. Does not connect to them yet: see `attachAll`. */
  restore({ replaced, withheld }: RecoveredUpgrades): void {
    for (const stored of this.#records.loadAll(replaced))
      this.#vms.set(stored.record.name, new Vm(this.#context, stored));
    this.regions.restore(this.living().map(({ record }) => record));
    // Also where the QEMU that its record names has ended: another one may have it.
    for (const [name, reason] of withheld) this.#vms.get(name)?.withhold(reason);
  }

  /** @param except - names of VMs that a recovered migration has */
  async attachAll(except: ReadonlySet<string>): Promise<void> {
    await Promise.all([...this.#vms.values()].filter((vm) => !except.has(vm.name)).map((vm) => vm.attach()));
  }

  list(): VmView[] {
    return this.#names.all().map((name) => this.view(name));
  }

  /** Throws what `absenceOf` gives; GW_MIGRATION_BUSY for a VM that has not arrived yet. */
  get(name: string): Vm {
    const vm = this.#names.comingAs(name) ? undefined : this.#vms.get(name);
    if (vm) return vm;
    const id = this.#names.migrationOf(name);
    if (id) throw new GodwitError('GW_MIGRATION_BUSY', { vm: name, id });
    throw this.#options.absenceOf(name);
  }

  view(name: string): VmView {
    return this.#names.viewOf(name) ?? this.get(name).view();
  }

  find(name: string): Vm | undefined {
    return this.#vms.get(name);
  }

  /** Those whose QEMU has not ended. */
  living(): Vm[] {
    return [...this.#vms.values()].filter((vm) => !vm.hasEnded);
  }

  /** The VM that the migration is about: not one of the same name that was there before, or came later. */
  ofMigration({ vm: name, qemu }: Pick<MigrationHandle, 'vm' | 'qemu'>): Vm | undefined {
    const vm = this.#vms.get(name);
    return vm && qemu && vm.record.pid === qemu.pid && vm.record.startTicks === qemu.startTicks ? vm : undefined;
  }

  async create(spec: VmSpecBody): Promise<VmView> {
    const { hostName: name, stateDirectory, promises } = this.#options;
    const { regions, macs } = this;
    const host = { name, stateDirectory, promisedBytes: promises.ramBytes, regions, macs };
    return this.#start(spec.name, () => createVm(spec, host));
  }

  async adopt(request: AdoptBody): Promise<VmView> {
    return this.#start(request.name, () => adoptVm(request, this.regions, this.#vms.values()));
  }

  /** Forgets a VM that has ended. Throws GW_CONFLICT while its QEMU lives, GW_MIGRATION_BUSY where another takes its name. */
  remove(name: string): void {
    const vm = this.get(name);
    const reason = 'its QEMU runs; stop or kill it first';
    if (!vm.hasEnded) throw new GodwitError('GW_CONFLICT', { kind: 'VM', name, reason });
    // The directory may be the next one's by now.
    this.#forget(vm, !this.#names.starting.has(name) && !this.arriving.has(name));
    this.#tellGone(name, 'removed');
  }

  /** Whether a VM of this name may come here now; the reason if not. */
  refusalFor(name: string): string | undefined {
    return this.#names.refusalFor(name);
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
    this.epochs.note(record, record.epoch);
    await this.#put(this.#records.save({ record, spec: null, notes: [], ended: null }), (vm) => {
      this.regions.join(record);
      vm.keepLease(migration);
    });
  }

  /** The VM is in another QEMU of this host. */
  async replaced(old: Vm, upgrade: ReplacedQemu): Promise<Vm> {
    old.dispose();
    return await this.#put(this.#records.replace(old.stored, upgrade));
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
    this.#options.changed(this.#names.leaving.add(vm.view(), to, epoch, migration));
    vm.dispose();
    this.#vms.delete(name);
    this.#records.forget(name, false);
    const cleanUp = (): void => {
      if (this.#names.leaving.end(name, migration)) this.#tellGone(name, `it is at ${to} now`);
      // A QEMU that was kept can be reached by its files only.
      if (isAlive(vm.record)) return;
      this.regions.release(vm.record);
      this.#records.removeInstance(vm.record);
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
    this.#records[Symbol.dispose]();
  }

  async #start(name: string, start: () => Promise<StoredVm>): Promise<VmView> {
    if (this.refusalFor(name) !== undefined) throw new GodwitError('GW_VM_EXISTS', { name });
    this.#names.starting.add(name);
    try {
      const stored = await start();
      const old = this.#vms.get(name);
      if (old) this.#forget(old, false);
      return (await this.#put(this.#records.save(stored))).view();
    } finally {
      this.#names.starting.delete(name);
    }
  }

  /** @param stored - saved already @param prepare - before it is connected to */
  async #put(stored: StoredVm, prepare: (vm: Vm) => void = () => undefined): Promise<Vm> {
    const vm = new Vm(this.#context, stored);
    prepare(vm);
    this.#vms.set(vm.name, vm);
    await vm.attach();
    this.#options.changed(vm.view());
    return vm;
  }

  /** What they share is another. */
  #tellChanged(names: readonly string[]): void {
    for (const vm of names.flatMap((name) => this.#vms.get(name) ?? [])) this.#options.changed(vm.view());
  }

  /** There may be another one of the name. */
  #tellGone(name: string, reason: string): void {
    const view = this.#names.viewOf(name);
    if (view) this.#options.changed(view);
    else this.#options.removed(name, reason);
  }

  #forget(vm: Vm, everything: boolean): void {
    vm.dispose();
    this.#vms.delete(vm.name);
    this.#records.removeInstance(vm.record);
    this.#records.forget(vm.name, everything);
  }
}
