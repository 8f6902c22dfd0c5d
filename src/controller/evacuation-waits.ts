/**
 * What an evacuation waits for beside the ends of migrations: silent hosts, quiet phases, second attempts, connections that are lost.
 *
 * Must hold: each wait is told once, not at every look; no host is waited for without end but the one that is evacuated.
 */
import { explainMove } from '../fleet/explain.ts';
import type { FleetPlan } from '../fleet/plan.ts';
import type { Silence } from './fleet-picture.ts';
import type { UnderwayMove } from './underway.ts';

/** A destination that is silent for longer is not waited for. */
const LONGEST_SILENCE_MS = 300_000;
/** A host that answers with an error for longer is not waited for. */
const LONGEST_ERROR_MS = 120_000;

export class EvacuationWaits {
  readonly #tell: (reason: string) => void;
  readonly #silentSince = new Map<string, number>();
  /** By VM: the kind of wait that was told. */
  readonly #told = new Map<string, string>();
  readonly #closedTold = new Map<string, string>();
  readonly #partialTold = new Set<string>();
  /** Ids of migrations of which it was told that they send nothing. */
  #stalledTold: ReadonlySet<string> = new Set();
  #hostsTold = '';

  constructor(tell: (reason: string) => void) {
    this.#tell = tell;
  }

  look(silences: readonly Silence[], nowMs: number): void {
    const now = new Set(silences.map(keyOf));
    for (const key of this.#silentSince.keys()) if (!now.has(key)) this.#silentSince.delete(key);
    for (const key of now) if (!this.#silentSince.has(key)) this.#silentSince.set(key, nowMs);
  }

  /** Whether it may still become better by itself. */
  mayPass(silence: Silence, nowMs: number): boolean {
    const longestMs = silence.isRefusal ? LONGEST_ERROR_MS : LONGEST_SILENCE_MS;
    return !silence.isFinal && nowMs - this.#silentSince.get(keyOf(silence))! < longestMs;
  }

  /** Whether one of these is still worth waiting for; that it is waited for, or not any longer, is told. */
  isWorthWaiting(silences: readonly Silence[], nowMs: number): boolean {
    const worth = silences.filter((silence) => this.mayPass(silence, nowMs));
    const overdue = `has not answered for ${LONGEST_SILENCE_MS / 60_000} min and is not waited for any longer`;
    if (worth.length > 0) this.tellOf(worth.map(sayThatSilent));
    else
      this.tellOf(
        silences.map((each) => (each.isRefusal ? sayThatSilent(each) : `${each.name} ${overdue}: ${each.failure}`)),
      );
    return worth.length > 0;
  }

  /** Of hosts. None: nothing is told, and the next one is news again. */
  tellOf(lines: readonly string[]): void {
    const text = lines.join('\n');
    if (text !== '' && text !== this.#hostsTold) this.#tell(text);
    this.#hostsTold = text;
  }

  /** Waits of VMs for a moment; what starts now waits for none any more. */
  tellOfMoments({ moves, madeAtMs }: FleetPlan): void {
    for (const move of moves) {
      const { vm, wait } = move;
      if (wait === null) this.#told.delete(vm);
      if (wait?.kind !== 'quiet' && wait?.kind !== 'retry') continue;
      if (this.#told.get(vm) !== wait.kind) this.#tell(explainMove(move, madeAtMs));
      this.#told.set(vm, wait.kind);
    }
  }

  /** Hosts that get no VMs, with the reason. */
  tellOfClosed(closed: ReadonlyMap<string, string>): void {
    for (const [name, why] of closed) {
      if (this.#closedTold.get(name) !== why) this.#tell(`${name} gets no VMs: ${why}`);
      this.#closedTold.set(name, why);
    }
  }

  /** Hosts that have not told yet what is in all of their VMs: once of each. */
  tellOfPartial(hosts: readonly string[]): void {
    for (const host of hosts) {
      if (!this.#partialTold.has(host)) this.#tell(sayThatPartial(host));
      this.#partialTold.add(host);
    }
  }

  /** Migrations that send nothing; of one that goes on it is news when it stops again. */
  tellOfStalled(stalled: readonly UnderwayMove[]): void {
    for (const { id, vm, from, to, waitingFor } of stalled) {
      if (this.#stalledTold.has(id)) continue;
      this.#tell(
        `${vm} waits for its ${waitingFor} on its way from ${from} to ${to}: others may use the way meanwhile`,
      );
    }
    this.#stalledTold = new Set(stalled.map(({ id }) => id));
  }
}

/** One that was silent and answers with an error then is given time for that. */
function keyOf({ name, isRefusal }: Silence): string {
  return `${name} ${isRefusal}`;
}

export function sayThatPartial(host: string): string {
  return `${host} has not told in time what is in all of its VMs: plans know what it has told so far, and ask on`;
}

export function sayThatSilent({ name, failure, isRefusal }: Silence): string {
  return isRefusal ? `${name} answers with an error: ${failure}` : `${name} does not answer: ${failure}`;
}
