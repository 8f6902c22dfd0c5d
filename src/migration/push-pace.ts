/**
 * How fast pages are pushed over the page channels: as the window of push-window.ts says.
 *
 * Must hold: little enough is on its way that a fault's answer would not wait behind it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { PAGE_SIZE } from '../base/page.ts';
import type { Pacer } from '../transfer/pacer.ts';
import { MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import type { PageCarrier } from './page-channels.ts';
import { PushWindow } from './push-window.ts';

/** Steps that fill the window: fewer would overshoot it, more would cost time between them. */
const STEPS_A_WINDOW = 4;
const MIN_STEP_PAGES = 8;
const LOOK_EVERY_MS = 1;

export class PushPace {
  readonly #channels: PageCarrier;
  readonly #pacer: Pick<Pacer, 'bytesPerSecond'>;
  readonly #window: PushWindow;
  readonly #sentBefore: number;

  constructor(channels: PageCarrier, pacer: Pick<Pacer, 'bytesPerSecond'>, roundTripMs: number) {
    this.#channels = channels;
    this.#pacer = pacer;
    this.#window = new PushWindow(roundTripMs);
    this.#sentBefore = channels.bytesSent;
  }

  /** Pages that are sent at a time. */
  get stepPages(): number {
    const pages = Math.floor(this.#window.bytes / STEPS_A_WINDOW / PAGE_SIZE);
    return Math.max(MIN_STEP_PAGES, Math.min(MAX_PAGES_PER_FRAME, pages));
  }

  /** Resolves when there is room for a step, or nobody needs it any more. */
  async room(isOver: () => boolean): Promise<void> {
    const channels = this.#channels;
    const window = this.#window;
    for (;;) {
      const waiting = channels.unacknowledgedBytes;
      const acknowledged = channels.bytesSent - this.#sentBefore - waiting;
      window.update(SYSTEM_CLOCK.nowMs(), acknowledged, this.#pacer.bytesPerSecond);
      if (waiting === 0) window.sawIdleLink();
      if (waiting < window.bytes || isOver()) return;
      await delay(LOOK_EVERY_MS);
    }
  }
}
