/**
 * The load balancer: looks at how busy hosts are, and has VMs moved (V1).
 *
 * Owns: which hosts were busy. Must hold: it moves nothing to or from a host that is marked for maintenance, nothing that another
 * evacuation moves, nothing that has stayed just before, and nothing while what it began before still goes on; memory that VMs on their
 * way to a host will take is no room.
 */
import type { BalanceView } from '../api/balance-schema.ts';
import { explain as explainError, hasCode } from '../base/errors.ts';
import { formatDuration } from '../base/units.ts';
import { type BalancedHost, type BalancedVm, type BalanceMove, balance } from '../fleet/balance.ts';
import { BalanceOutcomes, type BalanceTurn, endOf, type Stay } from './balance-outcomes.ts';
import type { Evacuations } from './evacuations.ts';
import { outlookOf, type Seen } from './fleet-look.ts';
import type { FleetPicture, PicturedVm } from './fleet-picture.ts';
import { KnownHosts } from './known-hosts.ts';
import { hostsLeft } from './maintenance.ts';
import { type Initiator, newEvacuationId } from './requested-evacuation.ts';
import type { FleetStore } from './store.ts';

export interface BalanceOrder {
  readonly isDry: boolean;
  readonly newHost: string | null;
  readonly initiator: Initiator;
}

interface Begun {
  /** Their ids. */
  readonly evacuations: readonly string[];
  /** What was not begun, and why. */
  readonly words: readonly string[];
}

interface Balanced {
  readonly view: BalanceView;
  /** Nothing moves, but VMs would that are only left alone for a while. */
  readonly movesLater: boolean;
}

const BUSY_WITH: readonly Initiator[] = ['balancer', 'newHost'];
const NOTHING_BEGUN: Begun = { evacuations: [], words: [] };

export class Balancing {
  readonly #evacuations: Evacuations;
  readonly #outcomes: BalanceOutcomes;
  #busy: ReadonlySet<string> = new Set();
  readonly #known: KnownHosts;

  constructor(store: FleetStore, evacuations: Evacuations) {
    this.#evacuations = evacuations;
    this.#outcomes = new BalanceOutcomes(store, evacuations);
    this.#known = new KnownHosts(store);
  }

  async balance(seen: Seen, order: BalanceOrder): Promise<BalanceView> {
    return (await this.#balance(seen, order)).view;
  }

  async #balance(seen: Seen, { isDry, newHost, initiator }: BalanceOrder): Promise<Balanced> {
    // Before anything else is looked at: what somebody begins from then on is told by the turn.
    const turn = await this.#outcomes.learn(seen);
    const moving = await this.#evacuations.waiting();
    const left = hostsLeft(await this.#evacuations.open());
    const stays = await this.#outcomes.stays(seen.atMs);
    const isLeftAlone = ({ fleetVm, outlook }: PicturedVm): boolean =>
      moving.has(fleetVm.name) || stays.has(outlook.uuid) || outlook.migration !== null;
    const question = { nowMs: seen.atMs, hosts: await this.#hosts(seen), policy: seen.file.balance, newHost };
    const found = balance({ ...question, vms: vmsOf(seen, left, isLeftAlone) });
    const movesLater =
      found.moves.length === 0 && balance({ ...question, vms: vmsOf(seen, left, () => false) }).moves.length > 0;
    this.#busy = new Set(found.hosts.flatMap(({ host, verdict }) => (verdict === 'busy' ? [host] : [])));
    const words = [...found.moves.map(explain), ...explainStays(seen, stays, this.#busy)];
    const begun = isDry ? NOTHING_BEGUN : await this.#begin(found.moves, turn, initiator);
    words.push(...begun.words);
    if (found.moves.length + begun.words.length === 0) words.push(explainNone([...this.#busy], newHost));
    const view: BalanceView = {
      atMs: seen.atMs,
      dryRun: isDry,
      hosts: found.hosts.map(({ host, load, verdict }) => {
        const known = question.hosts.find(({ name }) => name === host)!;
        return { host, cpuPart: known.cpuPart, memoryPart: known.memoryPart, load, verdict };
      }),
      moves: found.moves.map((move) => ({ vm: move.vm, from: move.from, to: move.to, text: explain(move) })),
      words,
      evacuations: [...begun.evacuations],
    };
    return { view, movesLater };
  }

  /**
   * Moves VMs to hosts that are new, one after the other, each once: one for which nothing could be decided yet (what was begun before
   * goes on, hosts rest from it, VMs that would go there are left alone for a while, how busy it is is not known) is tried again at the next look. Returns what was decided.
   *
   * @param isWanted - else they are only known from then on
   */
  async fillNewHosts(seen: Seen, isWanted: boolean): Promise<BalanceView[]> {
    const views: BalanceView[] = [];
    for (const host of await this.#known.newHosts(seen)) {
      const isBusy = isWanted && (await this.#evacuations.isBusyWith(BUSY_WITH));
      if (isBusy) continue;
      const order = { isDry: false, newHost: host, initiator: 'newHost' } as const;
      const balanced = isWanted ? await this.#balance(seen, order) : null;
      if (balanced) views.push(balanced.view);
      if (!balanced || isDecided(balanced, host, seen)) await this.#known.filled(host);
    }
    return views;
  }

  async #begin(moves: readonly BalanceMove[], turn: BalanceTurn | null, initiator: Initiator): Promise<Begun> {
    if (turn === null || (await this.#evacuations.isBusyWith(BUSY_WITH)))
      return { evacuations: [], words: ['Nothing is begun: what was begun before still goes on'] };
    const ways = [...Map.groupBy(moves, ({ from, to }) => `${from} ${to}`).values()].map((each) => {
      const { from, to } = each[0]!;
      return { id: newEvacuationId(), request: { from, to, vms: each.map(({ vm }) => vm) } };
    });
    if (ways.length === 0) return NOTHING_BEGUN;
    const isFirst = await this.#outcomes.begin(
      ways.map(({ id }) => id),
      turn,
    );
    if (!isFirst) return { evacuations: [], words: ['Nothing is begun: another balance began just now'] };
    const begun = { evacuations: [] as string[], words: [] as string[] };
    for (const { id, request } of ways) {
      try {
        begun.evacuations.push((await this.#evacuations.request(request, initiator, id)).id);
      } catch (error) {
        if (!hasCode(error, 'GW_CONFLICT')) throw error;
        begun.words.push(`Nothing is begun from ${request.from} to ${request.to}: ${explainError(error)}`);
      }
    }
    return begun;
  }

  async #hosts({ answers, file, marks, picture, atMs }: Seen): Promise<BalancedHost[]> {
    const balanced = await this.#outcomes.balancedAtMs();
    return file.hosts.map(({ name, takesVms }) => {
      const answer = answers.find((each) => each.name === name);
      // Of one that is silent it is not known how busy it is.
      const pressure = answer && 'outlook' in answer ? answer.outlook.pressure : undefined;
      const taken = takenBytes(name, picture);
      return {
        name,
        cpus: pressure?.cpus ?? 1,
        memoryBytes: pressure?.memoryBytes ?? 1,
        cpuPart: pressure?.cpuPart ?? null,
        memoryPart: pressure?.memoryPart ?? null,
        freeBytes: (outlookOf(answer)?.memoryBytes ?? 0) - taken,
        takesVms,
        wasBusy: this.#busy.has(name),
        balancedAtMs: marks.has(name) ? atMs : (balanced.get(name) ?? null),
      };
    });
  }
}

/** Of its memory, by VMs that are there and those on their way there. */
function takenBytes(host: string, { vms, underway }: FleetPicture): number {
  const here = vms.filter(({ fleetVm }) => fleetVm.host === host);
  const coming = underway.filter(({ to, vm }) => to === host && !here.some(({ fleetVm }) => fleetVm.name === vm));
  // A migration that has just begun does not know how large its VM is.
  const sizeOf = (vm: string, from: string): number =>
    vms.find(({ fleetVm }) => fleetVm.name === vm && fleetVm.host === from)?.fleetVm.ramBytes ?? 0;
  return (
    here.reduce((sum, { fleetVm }) => sum + fleetVm.ramBytes, 0) +
    coming.reduce((sum, { vm, from, ramBytes }) => sum + Math.max(ramBytes, sizeOf(vm, from)), 0)
  );
}

function vmsOf({ picture }: Seen, left: ReadonlySet<string>, isLeftAlone: (vm: PicturedVm) => boolean): BalancedVm[] {
  // One of several that go together is not moved without them.
  const bundled = new Set(
    picture.bundles.flatMap(({ host, vms }) => (vms.length > 1 ? vms.map((vm) => `${host} ${vm}`) : [])),
  );
  return picture.vms.map((vm) => {
    const { fleetVm, outlook, policy, obstacle } = vm;
    const { name, host, ramBytes } = fleetVm;
    const isFree = !isLeftAlone(vm) && !left.has(host) && !bundled.has(`${host} ${name}`);
    return {
      ...{ name, host, ramBytes },
      cpus: outlook.cpus ?? null,
      dataBytes: outlook.dataPages * 4096,
      isMovable: isFree && obstacle === null && policy?.stays !== true,
    };
  });
}

/** Whether that nothing moves to the new host is for good, if nothing does. */
function isDecided({ view, movesLater }: Balanced, newHost: string, { marks }: Seen): boolean {
  const { moves, hosts, evacuations } = view;
  if (moves.length > 0) return evacuations.length > 0;
  const isUnknown = hosts.some(({ host, verdict }) => host === newHost && verdict === 'unknown');
  const rests = hosts.some(({ host, verdict }) => verdict === 'resting' && !marks.has(host));
  return !movesLater && !isUnknown && !rests && !marks.has(newHost);
}

/** Of VMs of busy hosts. */
function explainStays({ picture, atMs }: Seen, stays: ReadonlyMap<string, Stay>, busy: ReadonlySet<string>): string[] {
  return picture.vms.flatMap(({ fleetVm: { name, host }, outlook }) => {
    const stay = stays.get(outlook.uuid);
    if (!stay || !busy.has(host)) return [];
    return [
      `${name} is left alone for ${formatDuration(endOf(stay) - atMs)}: it stayed when it was to go (${stay.reason})`,
    ];
  });
}

/** Why nothing is moved. */
function explainNone(busy: readonly string[], newHost: string | null): string {
  if (newHost !== null) return `Nothing is to be moved: no VM would be better off at ${newHost} by enough`;
  if (busy.length === 0) return 'Nothing is to be moved: no host is busy';
  const who = busy.length === 1 ? `${busy[0]} is busy` : `${busy.join(', ')} are busy`;
  return `Nothing is to be moved: ${who}, but there is no VM that may leave and no other host with room and time that would make it better by enough`;
}

function explain({ vm, from, to, loadBefore, loadAfter }: BalanceMove): string {
  const percent = (load: number): string => `${Math.round(load * 100)} %`;
  return `${vm} goes from ${from} to ${to}: the higher load of both falls from ${percent(loadBefore)} to ${percent(loadAfter)} of what makes a host busy`;
}
