/**
 * What happens in a round of chaos: which VMs are moved how, and what goes wrong meanwhile. Pure.
 *
 * Must hold: the same seed gives the same rounds.
 */
import type { MigrateBody } from '../../../src/api/migration-schema.ts';
import { PACKING_STEPS } from '../../../src/base/packing-step.ts';
import { MIGRATION_MODES } from '../../../src/migration/request.ts';

export const HOSTS = ['a', 'b'] as const;
export type HostName = (typeof HOSTS)[number];

const KINDS = ['kill', 'stop', 'hang', 'cut', 'hold', 'slow', 'cancel'] as const;

/** `kill`, `stop`, `hang`: of a daemon, as a crash, as a service manager, and by SIGSTOP. */
export interface Fault {
  readonly kind: (typeof KINDS)[number];
  readonly host: HostName;
  /** For `cancel`. */
  readonly vm: string;
  /** After the round has begun. */
  readonly atMs: number;
  /** Then all is well again. */
  readonly forMs: number;
}

export interface Move {
  readonly vm: string;
  readonly atMs: number;
  /** The guest writes as fast as it can. */
  readonly isBusy: boolean;
  readonly request: Omit<MigrateBody, 'to'>;
}

export interface Round {
  readonly moves: readonly Move[];
  readonly faults: readonly Fault[];
}

/** Moves begin within so many milliseconds, and faults while they are likely to be under way. */
const MOVES_WITHIN_MS = 400;
const FAULTS_WITHIN_MS = 2_500;
const LONGEST_FAULT_MS = 3_000;
const MOST_FAULTS = 3;
const BYTES_PER_SECOND = [0, 8e6, 30e6];

export class ChaosPlan {
  readonly #vms: readonly string[];
  readonly #random: () => number;

  constructor(seed: number, vms: readonly string[]) {
    this.#random = randomNumbers(seed);
    this.#vms = vms;
  }

  next(): Round {
    const movers = this.#vms.filter(() => this.#random() < 0.7);
    const faults = Array.from({ length: 1 + this.#below(MOST_FAULTS) }, () => this.#fault());
    return { moves: (movers.length > 0 ? movers : this.#vms).map((vm) => this.#move(vm)), faults };
  }

  #move(vm: string): Move {
    const mode = this.#oneOf(MIGRATION_MODES);
    const limit = this.#oneOf(BYTES_PER_SECOND);
    const without = PACKING_STEPS.filter(() => this.#random() < 0.3);
    const request = {
      mode,
      without: [...without],
      verify: this.#random() < 0.5,
      ...(limit > 0 ? { bandwidthBytesPerSecond: limit } : {}),
      // What a busy guest writes may never fit: then the migration is to end all the same.
      ...(mode === 'pre-copy' ? { timeoutMs: 8_000, onTimeout: 'pause' as const } : {}),
      ...(this.#random() < 0.2 ? { tracker: 'groups:16' as const } : {}),
      ...(this.#random() < 0.3 ? { connections: 1 + this.#below(3) } : {}),
    };
    return { vm, atMs: this.#below(MOVES_WITHIN_MS), isBusy: this.#random() < 0.4, request };
  }

  #fault(): Fault {
    return {
      kind: this.#oneOf(KINDS),
      host: this.#oneOf(HOSTS),
      vm: this.#oneOf(this.#vms),
      atMs: this.#below(FAULTS_WITHIN_MS),
      forMs: this.#below(LONGEST_FAULT_MS),
    };
  }

  #below(bound: number): number {
    return Math.floor(this.#random() * bound);
  }

  #oneOf<T>(list: readonly T[]): T {
    return list[this.#below(list.length)]!;
  }
}

/** From 0 to below 1; mulberry32, which is enough to choose by. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function describeRound({ moves, faults }: Round): string {
  const moved = moves.map(({ vm, atMs, isBusy, request }) => {
    const { mode, bandwidthBytesPerSecond: limit, tracker, connections, verify, without } = request;
    const details = [
      isBusy ? 'busy' : 'calm',
      ...(limit === undefined ? [] : [`${limit / 1e6} MB/s`]),
      ...(tracker === undefined ? [] : [tracker]),
      ...(connections === undefined ? [] : [`${connections} connections`]),
      ...(verify ? ['verify'] : []),
      ...(without!.length > 0 ? [`without ${without!.join(',')}`] : []),
    ];
    return `${vm} at ${atMs} ms by ${mode} (${details.join(', ')})`;
  });
  const failing = faults.map(({ kind, host, vm, atMs, forMs }) => {
    if (kind === 'cancel') return `cancel ${vm} at ${atMs} ms`;
    return `${kind} ${host} at ${atMs} ms for ${forMs} ms`;
  });
  return `${moved.join('; ')} | ${failing.join('; ')}`;
}
