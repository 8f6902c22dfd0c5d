/**
 * The event stream's middle: numbers events, keeps the last ones for replay, passes them on.
 *
 * Must hold: ids grow; a reader that was away gets exactly what it missed, or `eventsMissed` when that is no longer
 * kept; a listener that throws does not keep the others from hearing.
 */
import type { Clock } from '../base/clock.ts';
import type { HostEventBody } from './event-schema.ts';

// A busy host with 20 migrations at 5 samples a second fills it in 40 s: longer than a reconnect takes.
const KEPT_EVENTS = 4096;
/** As text. An event of a fleet tells all VMs of a host, or all of an evacuation: a thousand of those would fill the memory. */
const KEPT_CHARACTERS = 16 * 1024 * 1024;

interface Missed {
  readonly kind: 'eventsMissed';
  readonly reason: string;
}

export type Numbered<Body> = Body & {
  /** Opaque; goes back as `Last-Event-ID`. */
  readonly id: string;
  /** Unix milliseconds. */
  readonly atMs: number;
};

export class EventHub<Body extends { readonly kind: string } = HostEventBody> {
  readonly #clock: Clock;
  readonly #capacity: number;
  /** Tells ids of one daemon's life from those of another. */
  readonly #life: string;
  readonly #kept: { readonly number: number; readonly event: Numbered<Body>; readonly characters: number }[] = [];
  #keptCharacters = 0;
  readonly #listeners = new Set<(event: Numbered<Body | Missed>) => void>();
  #last = 0;

  constructor(clock: Clock, capacity: number = KEPT_EVENTS) {
    this.#clock = clock;
    this.#capacity = capacity;
    this.#life = Math.floor(clock.wallMs()).toString(36);
  }

  emit(body: Body): Numbered<Body> {
    const event: Numbered<Body> = {
      ...body,
      id: `${this.#life}-${++this.#last}`,
      atMs: Math.round(this.#clock.wallMs()),
    };
    const characters = JSON.stringify(event).length;
    this.#kept.push({ number: this.#last, event, characters });
    this.#keptCharacters += characters;
    while (this.#kept.length > this.#capacity || this.#keptCharacters > KEPT_CHARACTERS) {
      this.#keptCharacters -= this.#kept.shift()!.characters;
    }
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        process.emitWarning(`An event listener failed: ${String(error)}`);
      }
    }
    return event;
  }

  /** What came after the event `lastId`, in order; begins with `eventsMissed` when some of it is gone. */
  since(lastId: string): Numbered<Body | Missed>[] {
    const [life, text] = lastId.split('-');
    const number = Number(text);
    if (life !== this.#life || !Number.isSafeInteger(number) || number > this.#last) {
      return [this.#missed('the daemon was started again since')];
    }
    const found = this.#kept.filter((kept) => kept.number > number).map((kept) => kept.event);
    const complete = found.length === this.#last - number;
    return complete ? found : [this.#missed('too long ago, only the last events are kept'), ...found];
  }

  listen(listener: (event: Numbered<Body | Missed>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #missed(reason: string): Numbered<Missed> {
    return {
      kind: 'eventsMissed',
      reason,
      id: `${this.#life}-${this.#last}`,
      atMs: Math.round(this.#clock.wallMs()),
    };
  }
}
