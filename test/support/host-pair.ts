/**
 * Two host daemons, the link between them and the VMs that move there, driven through the API's client.
 *
 * Owns: both daemons with all that they run, and the link. A migration that was begun here is watched from its first
 * event, so that a test can wait for a phase without asking again and again.
 */
import type { HostEvent } from '../../src/api/event-schema.ts';
import type { MigrateBody, MigrationView, ReportView } from '../../src/api/migration-schema.ts';
import type { VmView } from '../../src/api/vm-schema.ts';
import type { GodwitClient } from '../../src/client/godwit-client.ts';
import type { MigrationProgress } from '../../src/migration/progress.ts';
import { FEW_CONNECTIONS } from './further-cases.ts';
import { type HostOptions, startHost, type TestHost } from './godwit-host.ts';
import { LinkProxy } from './link-proxy.ts';
import { openTellingClient } from './telling-client.ts';
import { TinyGuestView } from './tiny-guest-view.ts';
import { type TinyVmOptions, tinyVmBody } from './tiny-vm.ts';
import { waitUntil, within } from './wait-until.ts';

const MIGRATION_TIMEOUT_MS = 60_000;

/** A daemon and a client of its API. */
export interface ReachedHost {
  readonly host: TestHost;
  readonly client: GodwitClient;
}

export class HostPair implements AsyncDisposable {
  readonly a: ReachedHost;
  readonly b: ReachedHost;
  /** Leads to the second host: for migrations to `link.address` that need a slow or a broken one. */
  readonly link: LinkProxy;

  private constructor(a: TestHost, b: TestHost, link: LinkProxy) {
    this.a = { host: a, client: openTellingClient(a) };
    this.b = { host: b, client: openTellingClient(b) };
    this.link = link;
  }

  /** @param atB - for the second host, if it is not to be like the first */
  static async open(
    options: Omit<HostOptions, 'name'> = {},
    atB: Omit<HostOptions, 'name'> = options,
  ): Promise<HostPair> {
    const started = await Promise.allSettled([startHost({ ...options, name: 'a' }), startHost({ ...atB, name: 'b' })]);
    const [a, b] = started.map((result) => (result.status === 'fulfilled' ? result.value : undefined));
    if (a && b) return new HostPair(a, b, await LinkProxy.open(b.migration));
    await a?.[Symbol.asyncDispose]();
    await b?.[Symbol.asyncDispose]();
    throw new AggregateError(
      started.flatMap((result) => (result.status === 'rejected' ? [result.reason] : [])),
      'The hosts did not start',
    );
  }

  /** The host that has this VM now, and the other one; waits until no migration has it any more. */
  async locate(vm: string): Promise<{ readonly at: ReachedHost; readonly other: ReachedHost }> {
    let seen: (VmView | undefined)[] = [];
    return await waitUntil(`VM ${vm} is on one host and free`, async () => {
      const lists = await Promise.all([this.a, this.b].map(({ client }) => client.listVms()));
      seen = lists.map((list) => list.find(({ name }) => name === vm));
      const [here, there] = seen;
      if ((here === undefined) === (there === undefined) || (here ?? there)?.migration !== null) return undefined;
      return here ? { at: this.a, other: this.b } : { at: this.b, other: this.a };
    }).catch((cause: unknown) => {
      throw new Error(`VM ${vm} on hosts a and b: ${JSON.stringify(seen)}`, { cause });
    });
  }

  /** Moves it to the host that has it not, and waits for the end, however that is. */
  async move(vm: string, request: Omit<MigrateBody, 'to'> = {}): Promise<MigrationView> {
    const { at, other } = await this.locate(vm);
    return await beginMigration(at, vm, { to: other.host.migration, ...request }).then(({ ended }) => ended);
  }

  /** Moves it there if it is not there already. */
  async bring(vm: string, to: ReachedHost): Promise<void> {
    const { at } = await this.locate(vm);
    if (at === to) return;
    completedReport(await this.move(vm));
    await this.locate(vm);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.a.client.close(), this.b.client.close(), this.link[Symbol.asyncDispose]()]);
    // Both end, whatever the first one has to say.
    await using _ends = new AsyncDisposableStack();
    _ends.use(this.a.host);
    _ends.use(this.b.host);
  }
}

export class WatchedMigration {
  readonly id: string;
  readonly events: HostEvent[] = [];
  /** How it ended. */
  readonly ended: Promise<MigrationView>;
  readonly #at: ReachedHost;
  readonly #waiters = new Set<() => void>();

  constructor(at: ReachedHost, id: string) {
    this.#at = at;
    this.id = id;
    this.ended = within(`migration ${id} ends`, this.#watch(), MIGRATION_TIMEOUT_MS);
    this.ended.catch(() => undefined);
  }

  get phases(): string[] {
    return this.events.flatMap((event) => {
      // The first event is how things were when the watching began.
      if (event.kind === 'migrationStarted') return event.migration.phase ?? [];
      return event.kind === 'migrationPhaseChanged' ? [event.phase] : [];
    });
  }

  get notes(): string[] {
    return this.events.flatMap((event) => (event.kind === 'migrationNoted' ? [event.text] : []));
  }

  get progress(): MigrationProgress[] {
    return this.events.flatMap((event) =>
      event.kind === 'migrationProgressed' ? [event.progress as MigrationProgress] : [],
    );
  }

  /** Waits until it has come to this phase; throws when it ends before. */
  async reaches(phase: string, timeoutMs?: number): Promise<void> {
    await this.#until(`phase ${phase}`, () => this.phases.includes(phase), timeoutMs);
  }

  /** Waits for a progress sample like this. */
  async progresses(
    what: string,
    test: (progress: MigrationProgress) => boolean,
    timeoutMs?: number,
  ): Promise<MigrationProgress> {
    await this.#until(what, () => this.progress.some(test), timeoutMs);
    return this.progress.find(test)!;
  }

  cancel(): Promise<MigrationView> {
    return this.#at.client.cancelMigration(this.id);
  }

  async #until(what: string, test: () => boolean, timeoutMs?: number): Promise<void> {
    if (test()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = (): void => {
      if (test()) resolve();
    };
    this.#waiters.add(waiter);
    try {
      const end = this.ended.then(({ report }) => {
        if (!test()) throw new Error(`Migration ended before ${what}: ${JSON.stringify(report)}`);
      });
      await within(`migration ${this.id}: ${what}`, Promise.race([promise, end]), timeoutMs);
    } finally {
      this.#waiters.delete(waiter);
    }
  }

  async #watch(): Promise<MigrationView> {
    for await (const event of this.#at.client.watchMigration(this.id)) {
      this.events.push(event);
      for (const waiter of [...this.#waiters]) waiter();
      if (event.kind === 'migrationEnded') return event.migration;
    }
    throw new Error(`The events of migration ${this.id} broke off: ${JSON.stringify(this.events.at(-1))}`);
  }
}

export async function beginMigration(at: ReachedHost, vm: string, request: MigrateBody): Promise<WatchedMigration> {
  const { id } = await at.client.migrate(vm, { ...FEW_CONNECTIONS, ...request });
  return new WatchedMigration(at, id);
}

/** Starts a VM with the tiny guest, and waits until the guest counts. */
export async function createTinyVm(at: ReachedHost, options: TinyVmOptions & { readonly name: string }): Promise<void> {
  await at.client.createVm(tinyVmBody(at.host.directory, options));
  using guest = await openTinyGuest(at, options.name);
  await guest.ready();
}

/** The tiny guest of a VM that this host has. The caller disposes of it. */
export async function openTinyGuest(at: ReachedHost, vm: string): Promise<TinyGuestView> {
  const { pid, memoryBytes } = await at.client.showVm(vm);
  if (pid === null) throw new Error(`VM ${vm} has no process on host ${at.host.name}`);
  return new TinyGuestView(pid, memoryBytes);
}

/** The report of a migration that has completed; throws with its error otherwise. */
export function completedReport({ report }: Pick<MigrationView, 'report'>): ReportView {
  if (report?.outcome !== 'completed') throw new Error(`The migration did not complete: ${JSON.stringify(report)}`);
  return report;
}

/** Waits until no migration has the VM any more; the destination hears of the end a moment after the source. */
export async function isFree(at: ReachedHost, vm: string): Promise<VmView> {
  return await waitUntil(`no migration has VM ${vm} on host ${at.host.name}`, async () => {
    const view = (await at.client.listVms()).find(({ name }) => name === vm);
    return view?.migration === null ? view : undefined;
  });
}

/** The migration once a daemon knows how it ended, whichever daemon that is. */
export async function endAt(at: ReachedHost, id: string): Promise<MigrationView> {
  return await waitUntil('the migration has ended', async () => {
    const view = await at.client.showMigration(id);
    return view.state === 'running' ? undefined : view;
  });
}

/** The daemon dies as in a crash, and another one takes its place. */
export async function restart({ host }: ReachedHost): Promise<void> {
  await host.kill();
  await host.start();
}
