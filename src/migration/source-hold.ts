/**
 * Holds a migration that is ready at its source until it is told to go on, so that several switch over at about the same moment.
 *
 * Owns: since when it is ready, whether it was told, and the rests between two looks at what the VM has written meanwhile. Must hold: it
 * ends before the VM is stopped, so the handover knows nothing of it; who is never told goes on by himself; what a held VM writes takes a
 * small part of the link, and nothing while it would fit the downtime anyway.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { formatDuration } from '../base/units.ts';
import { decide } from './convergence.ts';
import type { Decision } from './decision.ts';
import type { RoundFacts } from './dirty-estimate.ts';
import { type HeldReadiness, type HoldState, isOverdue, readinessOf, underHold } from './hold.ts';
import type { MigrationOptions } from './request.ts';

export interface SourceHoldPort {
  options(): Pick<MigrationOptions, 'hold' | 'finishByMs'>;
  note(text: string): void;
}

/** What was written since the last look is as old as this at most when it goes on; deadlines keep back more than this. */
const REST_MS = 250;
/** Between two rounds of one that is held: so many times as long as the last one took. */
const REST_TIMES = 4;

export class SourceHold {
  readonly #port: SourceHoldPort;
  readonly #clock: Clock;
  #readiness: HeldReadiness | null = null;
  #isReleased = false;
  #hasRested = false;
  #isTold = false;
  /** It would not be ready any more if it were not held. */
  #isBehind = false;
  #lastRound = { endedMs: 0, ms: 0 };
  #wake: () => void = () => undefined;

  constructor(port: SourceHoldPort, clock: Clock = SYSTEM_CLOCK) {
    this.#port = port;
    this.#clock = clock;
  }

  /** It may go on: as soon as it is ready, or at once. */
  release(): void {
    this.#isReleased = true;
    this.#wake();
  }

  /** Something has happened that ends a rest. */
  wake(): void {
    this.#wake();
  }

  decide(facts: RoundFacts): Decision {
    const { hold } = this.#port.options();
    const unheld = decide(facts);
    if (hold === null) return unheld;
    const state = this.#stateOf(hold.atMostMs);
    const decision = underHold(unheld, facts, state);
    this.#isBehind = unheld.kind !== 'finish';
    if (decision.rule === 'hold') this.#readiness ??= readinessOf(unheld, facts);
    if (isOverdue(facts, state)) this.#tellOverdue(hold.atMostMs);
    return decision;
  }

  /** Whether there is time before the round that was decided. */
  mayRest({ rule }: Decision): boolean {
    if (rule !== 'hold' || this.#isReleased || this.#isTold) return false;
    const { endedMs, ms } = this.#lastRound;
    return !this.#isBehind || this.#clock.nowMs() - endedMs < Math.max(REST_MS, REST_TIMES * ms);
  }

  /** @throws the signal's reason */
  async rest(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    this.#wake = () => over.abort();
    const either = AbortSignal.any([signal, over.signal]);
    await delay(REST_MS, undefined, { signal: either }).catch(() => undefined);
    this.#wake = () => undefined;
    this.#hasRested = true;
    signal.throwIfAborted();
  }

  roundEnded(ms: number): void {
    this.#lastRound = { endedMs: this.#clock.nowMs(), ms };
    this.#hasRested = false;
  }

  /** Whether it was told to go on with what more rounds are of no use to. */
  get isWaitedFor(): boolean {
    return this.#isReleased && this.#readiness?.kind === 'postCopy';
  }

  /**
   * Pure post-copy has no rounds, and is ready at once. With a promised end it does not wait: nothing is known of the link.
   * @param isOver - somebody has ended it otherwise
   * @throws the signal's reason
   */
  async waitWithoutRounds(isOver: () => boolean, signal: AbortSignal): Promise<void> {
    const { hold, finishByMs } = this.#port.options();
    if (hold === null || finishByMs > 0) return;
    const sinceMs = this.#clock.nowMs();
    while (!this.#isReleased && !isOver()) {
      if (this.#clock.nowMs() - sinceMs >= hold.atMostMs) return this.#tellOverdue(hold.atMostMs);
      await this.rest(signal);
    }
  }

  #stateOf(atMostMs: number): HoldState {
    return {
      atMostMs,
      readiness: this.#readiness,
      isReleased: this.#isReleased,
      hasRested: this.#hasRested,
    };
  }

  #tellOverdue(atMostMs: number): void {
    if (this.#isTold || this.#isReleased) return;
    this.#isTold = true;
    this.#port.note(
      `Held for ${formatDuration(atMostMs)}, as long as it may be, and not told to go on: it goes on by itself`,
    );
  }
}
