/**
 * The load balancer: looks at how busy hosts are, and has VMs moved (V1).
 *
 * Owns: which hosts were busy, which were balanced when. Must hold: it moves nothing to or from a host that is marked
 * for maintenance, nothing that another evacuation moves, and nothing while what it began before still goes on.
 */
import type { BalanceView } from '../api/balance-schema.ts';
import type { EvacuateBody } from '../api/evacuation-schema.ts';
import { explain as explainError, hasCode } from '../base/errors.ts';
import { type BalancedHost, type BalancedVm, type BalanceMove, balance } from '../fleet/balance.ts';
import type { Evacuations } from './evacuations.ts';
import { outlookOf, type Seen } from './fleet-look.ts';
import { KnownHosts } from './known-hosts.ts';
import { hostsLeft } from './maintenance.ts';
import type { Initiator } from './requested-evacuation.ts';
import type { FleetStore } from './store.ts';

export interface BalanceOrder {
  readonly isDry: boolean;
  readonly newHost: string | null;
  readonly initiator: Initiator;
}

const BUSY_WITH: readonly Initiator[] = ['balancer', 'newHost'];

export class Balancing {
  readonly #store: FleetStore;
  readonly #evacuations: Evacuations;
  #busy: ReadonlySet<string> = new Set();
  readonly #known: KnownHosts;

  constructor(store: FleetStore, evacuations: Evacuations) {
    this.#store = store;
    this.#evacuations = evacuations;
    this.#known = new KnownHosts(store);
  }

  async balance(seen: Seen, { isDry, newHost, initiator }: BalanceOrder): Promise<BalanceView> {
    const moving = await this.#evacuations.waiting();
    const left = hostsLeft(await this.#evacuations.open());
    const [hosts, vms] = [await this.#hosts(seen), vmsOf(seen, moving, left)];
    const found = balance({ nowMs: seen.atMs, hosts, vms, policy: seen.file.balance, newHost });
    this.#busy = new Set(found.hosts.flatMap(({ host, verdict }) => (verdict === 'busy' ? [host] : [])));
    const words = found.moves.map(explain);
    const evacuations: string[] = [];
    if (!isDry && (await this.#evacuations.isBusyWith(BUSY_WITH)))
      words.push('Nothing is begun: what was begun before still goes on');
    else if (!isDry) {
      for (const [way, moves] of Map.groupBy(found.moves, ({ from, to }) => `${from} ${to}`)) {
        const [from, to] = way.split(' ') as [string, string];
        const request = { from, to, vms: moves.map(({ vm }) => vm) };
        const refusal = await this.#begin(request, initiator, evacuations);
        if (refusal !== null) {
          words.push(refusal);
          continue;
        }
        await this.#remember(from, seen.atMs);
        await this.#remember(to, seen.atMs);
      }
    }
    if (words.length === 0) words.push(explainNone([...this.#busy], newHost));
    return {
      atMs: seen.atMs,
      dryRun: isDry,
      hosts: found.hosts.map(({ host, load, verdict }) => {
        const known = hosts.find(({ name }) => name === host)!;
        return { host, cpuPart: known.cpuPart, memoryPart: known.memoryPart, load, verdict };
      }),
      moves: found.moves.map((move) => ({ vm: move.vm, from: move.from, to: move.to, text: explain(move) })),
      words,
      evacuations,
    };
  }

  /**
   * Moves VMs to hosts that are new, one after the other, each once: one for which nothing could be decided yet (what was begun before
   * goes on, hosts rest from it, how busy it is is not known) is tried again at the next look. Returns what was decided.
   *
   * @param isWanted - else they are only known from then on
   */
  async fillNewHosts(seen: Seen, isWanted: boolean): Promise<BalanceView[]> {
    const views: BalanceView[] = [];
    for (const host of await this.#known.newHosts(seen)) {
      const isBusy = isWanted && (await this.#evacuations.isBusyWith(BUSY_WITH));
      if (isBusy) continue;
      const view = isWanted ? await this.balance(seen, { isDry: false, newHost: host, initiator: 'newHost' }) : null;
      if (view) views.push(view);
      if (!view || isDecided(view, host, seen)) await this.#known.filled(host);
    }
    return views;
  }

  async #hosts({ answers, file, marks, picture, atMs }: Seen): Promise<BalancedHost[]> {
    const balanced = new Map(
      (await this.#store.list('balanced')).map(({ key, value }) => [key.slice('balanced.'.length), value as number]),
    );
    return file.hosts.map(({ name, takesVms }) => {
      const answer = answers.find((each) => each.name === name);
      // Of one that is silent it is not known how busy it is.
      const pressure = answer && 'outlook' in answer ? answer.outlook.pressure : undefined;
      const taken = picture.vms.reduce((sum, { fleetVm }) => sum + (fleetVm.host === name ? fleetVm.ramBytes : 0), 0);
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

  /** null: it is begun; else why not, since somebody was faster. */
  async #begin(request: EvacuateBody, initiator: Initiator, begun: string[]): Promise<string | null> {
    try {
      begun.push((await this.#evacuations.request(request, initiator)).id);
      return null;
    } catch (error) {
      if (!hasCode(error, 'GW_CONFLICT')) throw error;
      return explainError(error);
    }
  }

  async #remember(host: string, atMs: number): Promise<void> {
    const key = `balanced.${host}`;
    await this.#store.write(key, atMs, (await this.#store.read(key))?.revision ?? null);
  }
}

function vmsOf({ picture }: Seen, moving: ReadonlyMap<string, string>, left: ReadonlySet<string>): BalancedVm[] {
  // One of several that go together is not moved without them.
  const bundled = new Set(
    picture.bundles.flatMap(({ host, vms }) => (vms.length > 1 ? vms.map((vm) => `${host} ${vm}`) : [])),
  );
  return picture.vms.map(({ fleetVm, outlook, policy, obstacle }) => {
    const { name, host, ramBytes } = fleetVm;
    const isFree = !moving.has(name) && !left.has(host) && !bundled.has(`${host} ${name}`);
    return {
      ...{ name, host, ramBytes },
      cpus: outlook.cpus ?? null,
      dataBytes: outlook.dataPages * 4096,
      isMovable: isFree && obstacle === null && policy?.stays !== true && outlook.migration === null,
    };
  });
}

/** Whether that nothing moves to the new host is for good, if nothing does. */
function isDecided({ moves, hosts }: BalanceView, newHost: string, { marks }: Seen): boolean {
  if (moves.length > 0) return true;
  const isUnknown = hosts.some(({ host, verdict }) => host === newHost && verdict === 'unknown');
  const rests = hosts.some(({ host, verdict }) => verdict === 'resting' && !marks.has(host));
  return !isUnknown && !rests && !marks.has(newHost);
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
