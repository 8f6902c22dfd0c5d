/**
 * Waits for the end of the migration that QEMU itself believes to be doing (of its device state).
 *
 * Must hold: the MIGRATION event is what normally ends the wait; `query-migrate` in intervals is there for a lost
 * event or a QEMU that sends none. A status of an earlier migration is never taken for this one's: asking begins only
 * after `started`.
 */
import type { QmpClient } from './qmp.ts';

export interface MigrationEnd {
  readonly status: 'completed' | 'failed' | 'cancelled';
  /** QEMU's own words, when it failed. */
  readonly errorDescription: string | undefined;
}

interface MigrationInfo {
  readonly status?: string;
  readonly 'error-desc'?: string;
}

/** The event comes within microseconds of the change; asking more often would only disturb QEMU's main loop. */
const POLL_MS = 100;

/** Begins to listen when it is made, so make it before the command that starts the migration. */
export class MigrationStatus implements Disposable {
  /** Rejects when the QMP connection closes. */
  readonly ended: Promise<MigrationEnd>;
  /** QEMU has set everything up and begins; with nothing to send before, it stops the VM at once. */
  readonly active: Promise<void>;
  /** QEMU has stopped the VM and waits for `migrate-continue` (capability pause-before-switchover). */
  readonly preSwitchover: Promise<void>;
  readonly #qmp: Pick<QmpClient, 'execute' | 'onEvent'>;
  readonly #resolve: (end: MigrationEnd) => void;
  readonly #reject: (error: unknown) => void;
  readonly #reachActive: () => void;
  readonly #reachPreSwitchover: () => void;
  readonly #removeListener: () => void;
  #timer: NodeJS.Timeout | undefined;
  #disposed = false;

  constructor(qmp: Pick<QmpClient, 'execute' | 'onEvent'>) {
    this.#qmp = qmp;
    const active = Promise.withResolvers<void>();
    this.active = active.promise;
    this.#reachActive = active.resolve;
    const reached = Promise.withResolvers<void>();
    this.preSwitchover = reached.promise;
    this.#reachPreSwitchover = reached.resolve;
    const { promise, resolve, reject } = Promise.withResolvers<MigrationEnd>();
    this.ended = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    // Whoever stopped waiting has disposed of this; a late end is nobody's business then.
    promise.then(undefined, () => undefined);
    this.#removeListener = qmp.onEvent(({ event, data }) => {
      if (event === 'MIGRATION') this.#ask(String(data['status']));
    });
  }

  /** The command that starts the migration was accepted. */
  started(): void {
    this.#timer = setTimeout(() => this.#ask(undefined), POLL_MS);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    clearTimeout(this.#timer);
    this.#removeListener();
  }

  #ask(eventStatus: string | undefined): void {
    if (eventStatus === 'active') this.#reachActive();
    if (eventStatus === 'pre-switchover') this.#reachPreSwitchover();
    if (this.#disposed || (eventStatus !== undefined && !isEnd(eventStatus))) return;
    // Success needs no further question: this is on the path of the downtime.
    if (eventStatus === 'completed') {
      this.#resolve({ status: 'completed', errorDescription: undefined });
      return;
    }
    this.#qmp.execute<MigrationInfo>('query-migrate').then((info) => {
      if (info.status === 'pre-switchover') this.#reachPreSwitchover();
      const status = isEnd(info.status) ? info.status : eventStatus;
      if (isEnd(status)) this.#resolve({ status, errorDescription: info['error-desc'] });
      else if (!this.#disposed) this.started();
    }, this.#reject);
  }
}

/** True when QEMU has a migration under way, in whatever state. */
export async function isMigrating(qmp: QmpClient): Promise<boolean> {
  const { status } = await qmp.execute<MigrationInfo>('query-migrate');
  return status !== undefined && status !== 'none' && !isEnd(status);
}

/** True until QEMU pauses before the switchover, or ends. */
export async function isSending(qmp: QmpClient): Promise<boolean> {
  const { status } = await qmp.execute<MigrationInfo>('query-migrate');
  return status === 'setup' || status === 'active';
}

function isEnd(status: string | undefined): status is MigrationEnd['status'] {
  return status === 'completed' || status === 'failed' || status === 'cancelled';
}
