/**
 * A connection to a server that tells what changes: loads what there is, follows the event stream, and comes back by itself.
 *
 * Owns: the state, its listeners and the one stream. Must hold: after a break everything is loaded anew, so that nothing that
 * was missed stays wrong; after `stop` nothing runs.
 */
import { asGodwitError, type GodwitError, hasCode } from '../../src/base/errors.ts';

export interface LinkedState {
  readonly link: 'connecting' | 'live' | 'lost' | 'denied';
  /** Why it is lost or denied. */
  readonly problem: GodwitError | null;
}

export interface LiveSource<State, Event> {
  readonly nothingKnown: State;
  /** All that there is. */
  load(): Promise<Partial<State>>;
  events(signal: AbortSignal): AsyncIterable<Event>;
  /** null: only loading everything anew tells. */
  apply(state: State, event: Event): State | null;
  /** What an event changes without saying it; null: nothing. */
  reload?(event: Event): Promise<Partial<State>> | null;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 5_000;

export class LiveStore<State extends LinkedState, Event> {
  readonly #source: LiveSource<State, Event>;
  #state: State;
  #running = new AbortController();
  readonly #listeners = new Set<() => void>();

  constructor(source: LiveSource<State, Event>) {
    this.#source = source;
    this.#state = source.nothingKnown;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): State => this.#state;

  start(): void {
    this.stop();
    this.#running = new AbortController();
    void this.#run(this.#running.signal);
  }

  stop(): void {
    this.#running.abort();
  }

  async #run(signal: AbortSignal): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      try {
        await this.#follow(signal, () => {
          retryMs = FIRST_RETRY_MS;
        });
        if (!signal.aborted) this.#change({ link: 'lost' } as Partial<State>);
      } catch (error) {
        if (signal.aborted) return;
        const problem = asGodwitError(error);
        const isDenied = hasCode(problem, 'GW_API_UNAUTHORIZED');
        this.#change({ link: isDenied ? 'denied' : 'lost', problem } as Partial<State>);
        if (isDenied) return;
      }
      await pause(retryMs, signal);
      retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
    }
  }

  async #follow(signal: AbortSignal, reached: () => void): Promise<void> {
    const events = this.#source.events(signal)[Symbol.asyncIterator]();
    // Asked for before the lists are loaded, so that nothing happens in between unseen.
    let next = events.next();
    next.catch((error: unknown) => error);
    await this.#load();
    reached();
    for (let given = await next; !given.done; given = await next) {
      next = events.next();
      next.catch((error: unknown) => error);
      const changed = this.#source.apply(this.#state, given.value);
      if (changed === null) await this.#load();
      else this.#set(changed);
      void this.#reload(given.value, signal);
    }
  }

  async #load(): Promise<void> {
    this.#change({ ...(await this.#source.load()), link: 'live', problem: null } as Partial<State>);
  }

  async #reload(event: Event, signal: AbortSignal): Promise<void> {
    try {
      const changes = await this.#source.reload?.(event);
      if (changes && !signal.aborted) this.#change(changes);
    } catch (error) {
      // The stream breaks as well then, and tells.
      console.debug('reload', error);
    }
  }

  #change(changes: Partial<State>): void {
    this.#set({ ...this.#state, ...changes });
  }

  #set(state: State): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
