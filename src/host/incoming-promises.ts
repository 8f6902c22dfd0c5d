/**
 * What this host has promised to the VMs on their way to it: a place among those that come at once, and room for RAM.
 *
 * Must hold: a promise counts from the admission until the migration has ended, however it ends; RAM may be missing until
 * then, also of a VM that runs here already. A promise whose migration never begins lapses by itself. A check counts as
 * a migration while its QEMU runs.
 */
import type { Clock } from '../base/clock.ts';
import type { MigrationHandle } from '../migration/handle.ts';

interface Promised {
  readonly ramBytes: number;
  /** The migration has begun; or it is a check, whose QEMU takes as much for as long as it runs. */
  readonly handle: MigrationHandle | 'check' | 'damaged' | null;
  readonly madeAtMs: number;
  lapsed(): void;
}

/**
 * The engine begins an admitted migration before the event loop goes on; only a connection that was cut while the offer
 * was looked at keeps it from that. So this need not be long, and who tries that again and again holds little.
 */
export const BEGINS_WITHIN_MS = 5000;

export class IncomingPromises {
  readonly #clock: Clock;
  /** By the id of the migration. */
  readonly #promises = new Map<string, Promised>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get count(): number {
    return [...this.#standing().values()].filter(({ handle }) => handle !== 'damaged').length;
  }

  get ramBytes(): number {
    return [...this.#standing().values()].reduce((sum, promised) => sum + promised.ramBytes, 0);
  }

  has(id: string): boolean {
    return this.#standing().has(id);
  }

  /** @param lapsed - called when the migration has not begun in time */
  make(id: string, ramBytes: number, lapsed: () => void): void {
    this.#promises.set(id, { ramBytes, handle: null, madeAtMs: this.#clock.nowMs(), lapsed });
  }

  /** Of a migration that cannot go on and whose QEMU is here, until `drop`. It takes room, and no place. */
  keepWithout({ id, ramBytes }: Pick<MigrationHandle, 'id' | 'ramBytes'>): void {
    this.#promises.set(id, { ramBytes, handle: 'damaged', madeAtMs: this.#clock.nowMs(), lapsed: () => undefined });
  }

  drop(id: string): void {
    this.#promises.delete(id);
  }

  /** The migration has begun, or was begun by an earlier daemon. Of two with one id the first one counts. */
  keep(handle: MigrationHandle): void {
    const { id, ramBytes } = handle;
    const made = this.#promises.get(id);
    if (made?.handle) return;
    this.#promises.set(id, { ramBytes, handle, madeAtMs: this.#clock.nowMs(), lapsed: () => undefined });
    void handle.ended.then(() => this.#promises.delete(id));
  }

  /** For the QEMU of a check, until `endCheck`. */
  makeForCheck(id: string, ramBytes: number): void {
    this.#promises.set(id, { ramBytes, handle: 'check', madeAtMs: this.#clock.nowMs(), lapsed: () => undefined });
  }

  endCheck(id: string): void {
    if (this.#promises.get(id)?.handle === 'check') this.#promises.delete(id);
  }

  #standing(): ReadonlyMap<string, Promised> {
    for (const [id, { handle, madeAtMs, lapsed }] of this.#promises) {
      if (handle || this.#clock.nowMs() - madeAtMs < BEGINS_WITHIN_MS) continue;
      this.#promises.delete(id);
      lapsed();
    }
    return this.#promises;
  }
}
