/**
 * The faults of every QEMU here, on their way into the step.
 *
 * Owns: when whose faults are read. Must hold: a VM that is being stopped, and for which many pages were lent already, is served
 * slowly from then on, because each page that is lent is held until the VM stands, and who needs it at the other side waits for that
 * long; but it is served, because a vCPU that waits in a fault may be what the stop waits for (TCG).
 */
import type { PageIndex } from '../base/page.ts';
import { FaultBatch } from '../linux/fault-batch.ts';
import type { RegionMemory } from './region-memory.ts';
import { LEND_EVERY_MS, LENT_AT_ONCE_PAGES } from './region-settings.ts';
import type { RegionWaiting } from './region-waiting.ts';

export interface RegionFaultsPort {
  /** How many pages a VM has missed since it was to be stopped. */
  missedWhileStopping(vm: string): number;
  /** A page was found missing. */
  accessed(page: PageIndex, vm: string): void;
}

type FaultingMemory = Pick<RegionMemory, 'watched' | 'readFaults' | 'pageOf' | 'unprotect'>;

export interface HeldBack {
  readonly vms: readonly string[];
  /** Until the first of them may be read. */
  readonly ms: number;
}

const NOBODY: HeldBack = { vms: [], ms: Number.POSITIVE_INFINITY };

export class RegionFaults {
  readonly #memory: FaultingMemory;
  readonly #port: RegionFaultsPort;
  readonly #batch = new FaultBatch(LENT_AT_ONCE_PAGES);
  readonly #single = new FaultBatch(1);
  /** When faults of a VM that is paced were read last. */
  readonly #readMs = new Map<string, number>();

  constructor(memory: FaultingMemory, port: RegionFaultsPort) {
    this.#memory = memory;
    this.#port = port;
  }

  /** Those of which nothing is read now. */
  heldBack(): HeldBack {
    if (this.#readMs.size === 0) return NOBODY;
    const nowMs = performance.now();
    const left = [...this.#readMs].map(([vm, atMs]) => ({ vm, ms: atMs + LEND_EVERY_MS - nowMs }));
    for (const { vm, ms } of left) if (ms <= 0) this.#readMs.delete(vm);
    const held = left.filter(({ ms }) => ms > 0);
    return { vms: held.map(({ vm }) => vm), ms: Math.min(NOBODY.ms, ...held.map(({ ms }) => ms)) };
  }

  take(waiting: Pick<RegionWaiting, 'faulted'>): void {
    for (const [index, vm] of waiting.faulted()) {
      // The list moves up when a process has gone; the others are looked at the next time.
      if (!this.#isAt(index, vm)) return;
      // What was read cannot be put off: of a VM that is being stopped no more is read than may be lent.
      const batch = this.#port.missedWhileStopping(vm) > 0 ? this.#single : this.#batch;
      const count = this.#memory.readFaults(index, batch);
      for (let fault = 0; fault < count && this.#isAt(index, vm); fault++) this.#take(index, vm, batch, fault);
      const isPaced = this.#port.missedWhileStopping(vm) >= LENT_AT_ONCE_PAGES;
      if (count > 0 && isPaced) this.#readMs.set(vm, performance.now());
    }
  }

  #isAt(index: number, vm: string): boolean {
    return this.#memory.watched[index]?.vm === vm;
  }

  #take(index: number, vm: string, batch: FaultBatch, fault: number): void {
    const page = this.#memory.pageOf(index, batch, fault);
    if (batch.isWriteProtect(fault)) this.#memory.unprotect(page, index);
    else this.#port.accessed(page, vm);
  }
}
