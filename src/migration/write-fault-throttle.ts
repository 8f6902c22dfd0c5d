/**
 * Slows a VM by letting its writers wait at their write faults: who only reads runs at full speed.
 *
 * Owns: what a slowdown in percent is in pages a second. Must hold: it ends with the tracking, and with a lease that this
 * thread renews (group-tracker.ts).
 */
import { countPages, type PageRun } from '../base/page.ts';
import { clampSlowdown, type VcpuThrottle } from '../linux/vcpu-throttle.ts';
import { UnslowedRate } from '../memory/write-pace.ts';

export class WriteFaultThrottle implements VcpuThrottle {
  readonly mechanism = 'write-faults';
  readonly #unslowed: UnslowedRate;
  readonly #setPace: (pagesPerSecond: number) => void;
  #percent = 0;
  #hasEnded = false;

  /** @param pagesPerSecond - that the VM is known to write; 0 when nothing is known */
  constructor(pagesPerSecond: number, setPace: (pagesPerSecond: number) => void) {
    this.#unslowed = new UnslowedRate(pagesPerSecond);
    this.#setPace = setPace;
  }

  get percent(): number {
    return this.#percent;
  }

  set(slowdownPercent: number): void {
    if (this.#hasEnded) return;
    this.#percent = clampSlowdown(slowdownPercent);
    this.#setPace(this.#unslowed.at(this.#percent));
  }

  /** What was written in the last milliseconds, at the slowdown as it is. */
  observe(written: readonly PageRun[], ms: number): void {
    this.#unslowed.observe(countPages(written), ms, this.#percent);
    if (this.#percent > 0) this.set(this.#percent);
  }

  release(): void {
    this.set(0);
    this.#hasEnded = true;
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
