/**
 * The page's connection to its host: loads what there is, then follows the event stream, and comes back by itself.
 *
 * Owns: the state, its listeners and the one stream. Must hold: after a break everything is loaded anew, so that nothing that
 * was missed stays wrong; while the tab is closed nothing runs.
 */
import { asGodwitError, hasCode } from '../../src/base/errors.ts';
import { HostCalls } from '../../src/client/host-calls.ts';
import { accessToken, keepAccessToken } from './access-token.ts';
import { FetchCarrier } from './fetch-carrier.ts';
import { applyEvent, type HostState, NOTHING_KNOWN } from './host-state.ts';

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 5_000;
/** Reports of older ones are in the state directory; a page of more would be slow on a phone. */
const SHOWN_MIGRATIONS = 200;

export class HostStore {
  readonly calls: HostCalls;
  #state: HostState = NOTHING_KNOWN;
  #running = new AbortController();
  readonly #listeners = new Set<() => void>();

  constructor(base: string) {
    this.calls = new HostCalls(new FetchCarrier(base, accessToken));
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): HostState => this.#state;

  /** Begins, or begins again with another token. */
  start(): void {
    this.#running.abort();
    this.#running = new AbortController();
    void this.#run(this.#running.signal);
  }

  signIn(token: string): void {
    keepAccessToken(token);
    this.#set({ ...NOTHING_KNOWN });
    this.start();
  }

  signOut(): void {
    keepAccessToken(null);
    this.#set({ ...NOTHING_KNOWN });
    this.start();
  }

  async #run(signal: AbortSignal): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      try {
        await this.#follow(signal, () => {
          retryMs = FIRST_RETRY_MS;
        });
        this.#set({ ...this.#state, link: 'lost' });
      } catch (error) {
        if (signal.aborted) return;
        const problem = asGodwitError(error);
        const denied = hasCode(problem, 'GW_API_UNAUTHORIZED');
        this.#set({ ...this.#state, link: denied ? 'denied' : 'lost', problem });
        if (denied) return;
      }
      await pause(retryMs, signal);
      retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
    }
  }

  async #follow(signal: AbortSignal, reached: () => void): Promise<void> {
    const events = this.calls.events({ signal })[Symbol.asyncIterator]();
    // Asked for before the lists are loaded, so that nothing happens in between unseen.
    let next = events.next();
    next.catch((error: unknown) => error);
    await this.#load();
    reached();
    for (let given = await next; !given.done; given = await next) {
      next = events.next();
      next.catch((error: unknown) => error);
      const changed = applyEvent(this.#state, given.value);
      if (changed === null) await this.#load();
      else this.#set(changed);
      const { kind } = given.value;
      // Who shares memory changes with the VMs; its own event does not exist.
      if (kind === 'vmRemoved' || kind === 'vmChanged') void this.#loadGroups(signal);
    }
  }

  async #load(): Promise<void> {
    const { calls } = this;
    const host = await calls.host();
    const [vms, migrations, groups, groupMigrations] = await Promise.all([
      calls.listVms(),
      calls.listMigrations({ limit: SHOWN_MIGRATIONS }),
      calls.listGroups(),
      calls.listGroupMigrations(),
    ]);
    this.#set({ ...this.#state, link: 'live', problem: null, host, vms, migrations, groups, groupMigrations });
  }

  async #loadGroups(signal: AbortSignal): Promise<void> {
    try {
      const groups = await this.calls.listGroups();
      if (!signal.aborted) this.#set({ ...this.#state, groups });
    } catch (error) {
      // The stream breaks as well then, and tells.
      console.debug('groups', error);
    }
  }

  #set(state: HostState): void {
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
