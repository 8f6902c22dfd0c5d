/**
 * One host that has registered: what its record says, and whether its daemon lives.
 *
 * Must hold: what its record says is proven when its daemon has answered a call with the caller's nonce; until then what was proven last
 * counts. Its daemon lives while it beats, by this machine's own clock; what could not be heard is no silence.
 */
import { SILENT_MS } from '../nats/heartbeats.ts';
import type { Beat, Registration } from '../nats/signed-words.ts';
import type { KnownHost } from './fleet-file.ts';
import type { RegisterSettings } from './fleet-register.ts';

/** What of it can be heard. */
export interface Hearing {
  /** By `performance.now()`; null: NATS is away. */
  readonly sinceMs: number | null;
  readonly silentMs?: number | undefined;
}

export class RegisteredHost {
  /** Its record is there no more. */
  isGone = false;
  #latest: Registration;
  #proven: Registration | null = null;
  #lastBeat = 0;
  /** By `performance.now()`; null: never. */
  #heardAtMs: number | null = null;

  constructor(registration: Registration) {
    this.#latest = registration;
  }

  /** Nobody has to be called for it: it is proven, or there is nobody any more. */
  get isSettled(): boolean {
    return this.#latest.endedAtMs !== null || this.#latest.daemonId === this.#proven?.daemonId;
  }

  take(registration: Registration): void {
    this.isGone = false;
    this.#latest = registration;
    if (this.#proven?.daemonId === registration.daemonId) this.#proven = registration;
  }

  /** @param nonce - of this controller's calls */
  hear({ daemonId, n, nonce: answered }: Beat, nonce: string): void {
    if (this.#proven?.daemonId === daemonId) {
      // One that was recorded.
      if (n <= this.#lastBeat) return;
    } else {
      if (this.#latest.daemonId !== daemonId || answered !== nonce) return;
      this.#proven = this.#latest;
    }
    this.#lastBeat = n;
    this.#heardAtMs = performance.now();
  }

  /** null: it is not known, since NATS was away, or this controller, for some of the time. */
  isBeating({ sinceMs, silentMs = SILENT_MS }: Hearing): boolean | null {
    const nowMs = performance.now();
    const { endedAtMs, daemonId } = this.#latest;
    if (endedAtMs !== null && (this.#proven === null || this.#proven.daemonId === daemonId)) return false;
    if (this.#heardAtMs !== null && nowMs - this.#heardAtMs < silentMs) return true;
    return sinceMs !== null && nowMs - sinceMs >= silentMs ? false : null;
  }

  known(register: RegisterSettings, hearing: Hearing): KnownHost {
    const { name, api, migration, sinceMs, endedAtMs } = this.#proven ?? this.#latest;
    const { token, bytesPerSecond, labels } = register;
    const takesVms = this.#proven !== null && endedAtMs === null;
    const registration = { sinceMs, beats: this.isBeating(hearing), unproven: this.#proven ? null : this.#unproven };
    return { name, api, migration, token, bytesPerSecond, takesVms, labels, registration };
  }

  get #unproven(): string {
    const { api, endedAtMs } = this.#latest;
    if (endedAtMs !== null) return 'its daemon was ended';
    return `its daemon, registered at ${api}, has not answered over NATS since this controller began`;
  }
}
