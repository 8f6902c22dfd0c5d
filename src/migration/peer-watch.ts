/**
 * Whether the other host still does anything: its kernel answers for a process that hangs.
 *
 * Owns: the questions on the main connection while it is waited for, and the time since anything came back. Must hold: a
 * moment in which this thread itself could not look is not held against the other host.
 */
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';

const ASK_EVERY_MS = 1000;
/** From then on nothing is done to the VM for the sake of a copy that may not go on. */
const SUSPECT_MS = 3000;

export interface PeerWatchPort {
  /** Silent for so long, it is given up. */
  readonly goneMs: number;
  ask(): void;
  /** Received so far, or another number that changes with every word from there and with nothing else. */
  heardBytes(): number;
  onSuspect?(): void;
  /** It has answered after all. */
  onWell?(): void;
  onGone(silentMs: number): void;
}

export class PeerWatch implements Disposable {
  readonly #port: PeerWatchPort;
  readonly #clock: Clock;
  readonly #timer: NodeJS.Timeout;
  #heardBytes: number;
  #heardAtMs: number;
  #lookedAtMs: number;
  #isSuspect = false;

  constructor(port: PeerWatchPort, clock: Clock = SYSTEM_CLOCK) {
    this.#port = port;
    this.#clock = clock;
    this.#heardBytes = port.heardBytes();
    this.#heardAtMs = clock.nowMs();
    this.#lookedAtMs = this.#heardAtMs;
    this.#timer = setInterval(() => this.look(), ASK_EVERY_MS).unref();
  }

  look(): void {
    const nowMs = this.#clock.nowMs();
    const missedMs = nowMs - this.#lookedAtMs - 2 * ASK_EVERY_MS;
    this.#lookedAtMs = nowMs;
    if (missedMs > 0) this.#heardAtMs += missedMs;
    const heard = this.#port.heardBytes();
    if (heard !== this.#heardBytes) this.#hear(heard, nowMs);
    const silentMs = nowMs - this.#heardAtMs;
    if (silentMs >= this.#port.goneMs) {
      this[Symbol.dispose]();
      this.#port.onGone(Math.round(silentMs));
      return;
    }
    if (silentMs >= SUSPECT_MS && !this.#isSuspect) {
      this.#isSuspect = true;
      this.#port.onSuspect?.();
    }
    this.#port.ask();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #hear(bytes: number, nowMs: number): void {
    this.#heardBytes = bytes;
    this.#heardAtMs = nowMs;
    if (this.#isSuspect) this.#port.onWell?.();
    this.#isSuspect = false;
  }
}
