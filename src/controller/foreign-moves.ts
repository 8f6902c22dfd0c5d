/**
 * VMs of an evacuation that somebody else migrates.
 *
 * Owns: what is known of them. Must hold: each is accounted for while it is on its way and when it has gone; one that has stayed after
 * all is the evacuation's again.
 */
import type { FleetPicture } from './fleet-picture.ts';

export interface ForeignMove {
  readonly vm: string;
  /** Of the migration. */
  readonly id: string;
  /** null: not known. */
  readonly to: string | null;
  /** The host that has it, once it has gone; null: it is on its way, or no host has it. */
  readonly at: string | null;
}

export class ForeignMoves {
  readonly #tell: (text: string) => void;
  readonly #moves: Map<string, ForeignMove>;

  /** @param begun - those that another one knew of */
  constructor(tell: (text: string) => void, begun: readonly ForeignMove[] = []) {
    this.#tell = tell;
    this.#moves = new Map(begun.map((move) => [move.vm, move]));
  }

  get all(): readonly ForeignMove[] {
    return [...this.#moves.values()];
  }

  has(vm: string): boolean {
    return this.#moves.has(vm);
  }

  /** @param onWay - names of those that leave `from` by somebody else's migration */
  look(onWay: readonly string[], from: string, picture: FleetPicture): void {
    for (const vm of onWay) {
      const there = picture.vms.find(({ outlook, fleetVm }) => outlook.name === vm && fleetVm.host === from);
      const underway = picture.underway.find((each) => each.vm === vm && each.from === from);
      const id = underway?.id ?? there?.outlook.migration;
      if (id === undefined || id === null) continue;
      this.#set({ vm, id, to: underway?.to ?? this.#moves.get(vm)?.to ?? null, at: null });
    }
    for (const move of this.#moves.values()) {
      if (onWay.includes(move.vm)) continue;
      const hosts = picture.vms.flatMap(({ outlook, fleetVm }) => (outlook.name === move.vm ? [fleetVm.host] : []));
      if (hosts.includes(from)) this.#moves.delete(move.vm);
      else this.#set({ ...move, at: hosts[0] ?? null });
    }
  }

  #set(move: ForeignMove): void {
    const known = this.#moves.get(move.vm);
    this.#moves.set(move.vm, move);
    if (known?.id !== move.id || known.at !== move.at) this.#tell(sayForeign(move));
  }
}

export function sayForeign({ vm, id, at }: ForeignMove): string {
  return at === null
    ? `${vm} is moved by somebody else (migration ${id})`
    : `${vm} was moved to ${at} by somebody else (migration ${id})`;
}
