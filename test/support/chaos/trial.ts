/**
 * Rounds of chaos on real VMs: two hosts, several VMs with a guest that checks its memory, migrations both ways at once, and
 * daemons and links that fail meanwhile.
 *
 * Owns: carrying out a round, and the verdict after it. Must hold: at the end of a round each VM is on one host, runs there
 * and is intact, no migration has it, and neither host has anything of a VM that is not there.
 */
import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { FIRST_USABLE_PAGE } from '../../../guest/tiny/layout.ts';
import { asGodwitError } from '../../../src/base/errors.ts';
import { createTinyVm, HostPair, openTinyGuest, type ReachedHost } from '../host-pair.ts';
import { worksIntact } from '../intact-vm.ts';
import { LinkProxy } from '../link-proxy.ts';
import { BUSY, CALM } from '../tiny-vm.ts';
import { listQemus, noMarks } from '../traces.ts';
import { waitUntil } from '../wait-until.ts';
import { OwnerWatch } from './owners.ts';
import type { Fault, HostName, Move, Round } from './plan.ts';

/** After a cut peers look again for minutes, at growing intervals. */
const SETTLED_WITHIN_MS = 120_000;
const LOOK_EVERY_MS = 100;
const LOG_LINES = 60;
const SLOW = { bytesPerSecond: 2e6, delayMs: 40 };
const FULL = { bytesPerSecond: undefined, delayMs: 0 };
/** 8 MiB, so that post-copy has something to do. */
const PAGES = 2048;

export interface ChaosCounts {
  /** That began. */
  moves: number;
  /** That did anything. */
  faults: number;
  /** Of migrations, and `refused` for those that could not be begun. */
  readonly outcomes: Record<string, number>;
}

interface Begun {
  readonly at: ReachedHost;
  readonly id: string;
}

export class ChaosTrial implements AsyncDisposable {
  readonly counts: ChaosCounts = { moves: 0, faults: 0, outcomes: {} };
  readonly #pair: HostPair;
  /** The way to `a`; that to `b` is the pair's. */
  readonly #back: LinkProxy;
  readonly #vms: readonly string[];
  readonly #owners: OwnerWatch;
  readonly #failing = new Set<HostName>();

  private constructor(pair: HostPair, back: LinkProxy, vms: readonly string[]) {
    this.#pair = pair;
    this.#back = back;
    this.#vms = vms;
    this.#owners = new OwnerWatch([pair.a, pair.b]);
  }

  static async open(vms: readonly string[]): Promise<ChaosTrial> {
    const pair = await HostPair.open();
    const back = await LinkProxy.open(pair.a.host.migration);
    const trial = new ChaosTrial(pair, back, vms);
    const fill = { firstPage: FIRST_USABLE_PAGE, pageCount: PAGES };
    for (const name of vms) await createTinyVm(pair.a, { name, guest: { ...CALM, pageCount: PAGES, fill } });
    return trial;
  }

  /** Of both hosts, their last lines. */
  get logs(): string {
    const lines = ({ host }: ReachedHost) => host.log.trimEnd().split('\n').slice(-LOG_LINES);
    return [this.#pair.a, this.#pair.b].flatMap((at) => [`log of ${at.host.name}:`, ...lines(at)]).join('\n');
  }

  /** @throws what is wrong with a VM or a host afterwards */
  async run({ moves, faults }: Round): Promise<void> {
    const ids = new Map<string, Begun>();
    const sources = new Map<string, ReachedHost>();
    for (const move of moves) sources.set(move.vm, await this.#prepare(move));
    await Promise.all([
      ...moves.map((move) => this.#move(move, sources.get(move.vm)!, ids)),
      ...faults.map((fault) => this.#fail(fault, ids)),
    ]);
    this.#heal();
    for (const vm of this.#vms) await this.#verify(vm);
    for (const { at, id } of ids.values()) this.#count((await at.client.showMigration(id)).state);
    for (const at of [this.#pair.a, this.#pair.b]) await this.#isTidy(at);
    if (this.#owners.doubles.length > 0) throw new Error(this.#owners.doubles.join('; '));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#owners[Symbol.dispose]();
    await this.#back[Symbol.asyncDispose]();
    await this.#pair[Symbol.asyncDispose]();
  }

  /** Returns where it is. */
  async #prepare({ vm, isBusy }: Move): Promise<ReachedHost> {
    const { at } = await this.#pair.locate(vm);
    using guest = await openTinyGuest(at, vm);
    guest.change(isBusy ? BUSY : CALM);
    return at;
  }

  async #move(move: Move, at: ReachedHost, ids: Map<string, Begun>): Promise<void> {
    await delay(move.atMs);
    const to = at === this.#pair.a ? this.#pair.link.address : this.#back.address;
    try {
      const { id } = await at.client.migrate(move.vm, { to, ...move.request });
      ids.set(move.vm, { at, id });
      this.counts.moves++;
    } catch (error) {
      // Its daemon is not there at the moment, or ends.
      const { code } = asGodwitError(error);
      if (!/^GW_(API|HOST)_/.test(code)) throw error;
      this.#count('refused');
    }
  }

  async #fail({ kind, host, vm, atMs, forMs }: Fault, ids: ReadonlyMap<string, Begun>): Promise<void> {
    await delay(atMs);
    const link = host === 'a' ? this.#back : this.#pair.link;
    switch (kind) {
      case 'kill':
      case 'stop':
      case 'hang':
        if (!this.#failing.has(host)) await this.#failDaemon(kind, host, forMs);
        return;
      case 'cut':
      case 'hold':
        this.counts.faults++;
        link[kind]();
        await delay(forMs);
        link.restore();
        return;
      case 'slow':
        this.counts.faults++;
        link.shape(SLOW);
        await delay(forMs);
        link.shape(FULL);
        return;
      case 'cancel': {
        // It may be over, or too late, or its daemon away.
        const migration = ids.get(vm);
        const cancelled = await migration?.at.client.cancelMigration(migration.id).catch(() => undefined);
        if (cancelled) this.counts.faults++;
        return;
      }
    }
  }

  /** One at a time for each host. */
  async #failDaemon(kind: 'kill' | 'stop' | 'hang', name: HostName, forMs: number): Promise<void> {
    const { host } = this.#pair[name];
    this.#failing.add(name);
    this.counts.faults++;
    try {
      if (kind === 'hang') process.kill(host.pid, 'SIGSTOP');
      else await (kind === 'kill' ? host.kill() : host.stop());
      await delay(forMs);
      if (kind === 'hang') process.kill(host.pid, 'SIGCONT');
      else await host.start();
    } finally {
      this.#failing.delete(name);
    }
  }

  /** Faults of the same link may have overlapped. */
  #heal(): void {
    for (const link of [this.#pair.link, this.#back]) {
      link.restore();
      link.shape(FULL);
    }
  }

  async #verify(vm: string): Promise<void> {
    const where = await waitUntil(
      `VM ${vm} is on one host, and free`,
      () => this.#pair.locate(vm).catch(() => undefined),
      { timeoutMs: SETTLED_WITHIN_MS, intervalMs: LOOK_EVERY_MS },
    ).catch(async (cause: unknown) => {
      const lists = await Promise.all([this.#pair.a, this.#pair.b].map(({ client }) => client.listVms()));
      throw new Error(`VM ${vm}: ${JSON.stringify(lists)}`, { cause });
    });
    const { state, pid } = await where.at.client.showVm(vm);
    if (state !== 'running') throw new Error(`VM ${vm} is ${state} on host ${where.at.host.name}`);
    await noMarks(pid!);
    await worksIntact(where.at, vm);
  }

  /** No process, directory or memory of a VM that is not there. */
  async #isTidy(at: ReachedHost): Promise<void> {
    let found = '';
    await waitUntil('the host is tidy', async () => {
      found = await findRemains(at);
      return found === '';
    }).catch((cause: unknown) => {
      throw new Error(`Host ${at.host.name} has ${found}`, { cause });
    });
  }

  #count(outcome: string): void {
    this.counts.outcomes[outcome] = (this.counts.outcomes[outcome] ?? 0) + 1;
  }
}

async function findRemains(at: ReachedHost): Promise<string> {
  const vms = await at.client.listVms();
  const pids = new Set(vms.map(({ pid }) => pid));
  const names = new Set(vms.map(({ name }) => name));
  const directory = at.host.directory.join('state', 'vms');
  const left = existsSync(directory) ? readdirSync(directory).filter((name) => !names.has(name)) : [];
  return [
    ...listQemus(at).flatMap((pid) => (pids.has(pid) ? [] : [`process ${pid}`])),
    ...left.flatMap((name) => {
      // A VM that has left may have left its history.
      const files = readdirSync(`${directory}/${name}`).filter((file) => file !== 'history.json');
      return files.map((file) => `${name}/${file}`);
    }),
    ...vms.flatMap(({ name }) => {
      const instances = readdirSync(`${directory}/${name}`, { withFileTypes: true }).filter((entry) =>
        entry.isDirectory(),
      );
      return instances.length > 1 ? [`${instances.length} instances of ${name}`] : [];
    }),
  ].join(', ');
}
