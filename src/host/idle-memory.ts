/**
 * The daemon's memory while nothing moves.
 *
 * Owns: when the main thread gives back what it does not use, and that its other threads know when nothing moves. Must hold: never
 * while something moves, and only where there is something to give.
 */
import { giveSpareMemoryBack } from '../linux/spare-memory.ts';
import { setMoving } from '../migration/moving.ts';

const LOOK_EVERY_MS = 1000;
/** In a row: between two migrations of an evacuation it would only take CPU time, a tenth of a second or two. */
const IDLE_LOOKS = 5;
/** Since the last time: the daemon has loaded, or there was a migration, or a few thousand requests. */
const GROWN_BYTES = 4 * 1024 * 1024;

interface MemoryParts {
  give(): void;
  usedBytes(): number;
}

const PROCESS: MemoryParts = { give: giveSpareMemoryBack, usedBytes: () => process.memoryUsage().heapUsed };

export class IdleMemory implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #keptBytes = 0;
  #idleLooks = 0;

  /** @param parts - what reaches the process; else the real ones */
  constructor(isIdle: () => boolean, { give, usedBytes }: MemoryParts = PROCESS) {
    this.#timer = setInterval(() => {
      const idle = isIdle();
      setMoving(!idle);
      this.#idleLooks = idle ? this.#idleLooks + 1 : 0;
      if (this.#idleLooks < IDLE_LOOKS || usedBytes() < this.#keptBytes + GROWN_BYTES) return;
      give();
      this.#keptBytes = usedBytes();
    }, LOOK_EVERY_MS).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
