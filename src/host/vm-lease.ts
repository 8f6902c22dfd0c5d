/**
 * Who has a VM besides its user: a migration, a check of whether it could move, or who replaces its QEMU.
 *
 * Owns: the lease. Must hold: one holder at a time; while it is exclusive QEMU is the engine's alone, later the migration
 * only keeps others out; a VM of which nobody knows whose it is has none as long as this daemon runs.
 */
import { GodwitError } from '../base/errors.ts';

/** A migration from here or to here, a check, or the replacing of its QEMU. */
export type LeasePurpose = 'outgoing' | 'incoming' | 'check' | 'upgrade';

/** Of those that are no migration: what is told to whom they keep waiting. */
const REASONS: Partial<Record<LeasePurpose, string>> = {
  check: 'it is being checked',
  upgrade: 'its QEMU is being replaced (godwit vm upgrade; Ctrl-C there ends it)',
};

/** What is known elsewhere of whether a VM may be taken. */
export interface LeaseContext {
  /** Its QEMU was replaced, and the record that says so is not on disk yet. */
  isBeingReplaced(vm: string): boolean;
}

const UNSAVED = 'its QEMU was replaced, and the record of that cannot be saved yet: see that the disk is not full';

interface Lease {
  readonly id: string;
  readonly purpose: LeasePurpose;
  readonly exclusive: boolean;
}

export class VmLease {
  readonly #vm: string;
  readonly #context: LeaseContext;
  #lease: Lease | null = null;
  /** Why nobody gets the VM. */
  #withheld: string | null = null;

  constructor(vm: string, context: LeaseContext) {
    this.#vm = vm;
    this.#context = context;
  }

  /** Nobody gets the VM. */
  get isWithheld(): boolean {
    return this.#withheld !== null;
  }

  /** The engine has QEMU, or nobody may. */
  get isExclusive(): boolean {
    return this.#withheld !== null || this.#lease?.exclusive === true;
  }

  /** The VM is on its way to another host. */
  get isLeaving(): boolean {
    return this.#lease?.purpose === 'outgoing';
  }

  /** Id of the migration that has the VM. */
  get migration(): string | null {
    return this.#lease && REASONS[this.#lease.purpose] === undefined ? this.#lease.id : null;
  }

  /** @throws GW_MIGRATION_BUSY, GW_CONFLICT when somebody has the VM */
  take(id: string, purpose: LeasePurpose): void {
    this.refuseExclusive();
    if (this.#lease) throw this.#busy(this.#lease);
    // A daemon that dies then would look for the VM where it was before, and let it run on there.
    if (['outgoing', 'upgrade'].includes(purpose) && this.#context.isBeingReplaced(this.#vm))
      throw this.#refusal(UNSAVED);
    this.#lease = { id, purpose, exclusive: true };
  }

  /** Of a VM that has arrived but whose migration still goes on. */
  keep(id: string): void {
    this.#lease = { id, purpose: 'incoming', exclusive: false };
  }

  /** Returns whether it had QEMU for itself. What another holds stays. */
  end(id: string): boolean {
    if (this.#lease?.id !== id) return false;
    const wasExclusive = this.isExclusive;
    this.#lease = null;
    return wasExclusive;
  }

  /** Whoever had it has it no more, and nobody gets it. */
  withhold(reason: string): void {
    this.#lease = null;
    this.#withheld = reason;
  }

  /** @throws GW_MIGRATION_BUSY, GW_CONFLICT while the engine has QEMU or nobody may */
  refuseExclusive(): void {
    if (this.#withheld !== null) throw this.#refusal(this.#withheld);
    if (this.#lease?.exclusive === true) throw this.#busy(this.#lease);
  }

  /** Who kills a VM that is arriving takes it from nobody: its migration sees that it is lost. */
  refuseKill(): void {
    if (this.#withheld !== null || this.#lease?.purpose !== 'incoming') this.refuseExclusive();
  }

  #busy({ id, purpose }: Lease): GodwitError {
    const reason = REASONS[purpose];
    if (reason === undefined) return new GodwitError('GW_MIGRATION_BUSY', { vm: this.#vm, id });
    return this.#refusal(reason);
  }

  #refusal(reason: string): GodwitError {
    return new GodwitError('GW_CONFLICT', { kind: 'VM', name: this.#vm, reason });
  }
}
