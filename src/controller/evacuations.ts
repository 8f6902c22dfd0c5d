/**
 * All evacuations: those that are asked for, those that this controller carries out, those that are over.
 *
 * Owns: which of them run here. Must hold: any controller takes them and shows them, the one that leads carries them out.
 */
import { randomBytes } from 'node:crypto';
import type { EvacuateBody, EvacuatedVmView, EvacuationView } from '../api/evacuation-schema.ts';
import type { ReportView } from '../api/migration-schema.ts';
import { explain, GodwitError, hasCode } from '../base/errors.ts';
import { completeId } from '../host/migration-id.ts';
import { EvacuationNews } from './evacuation-news.ts';
import { EvacuationRecords, type ReadRecord } from './evacuation-records.ts';
import { EvacuationRunner, type RunnerPort } from './evacuation-runner.ts';
import { CLOCKS_APART_MS } from './fleet-hosts.ts';

export interface EvacuationsPort extends RunnerPort {
  leads(): boolean;
  /** Of a runner that failed as it must not. */
  failed(id: string, reason: string): void;
}

export type Initiator = EvacuationView['initiator'];

/** Those that have ended that are looked through for an id. */
const LOOKED_THROUGH = 1000;

export class Evacuations implements AsyncDisposable {
  readonly #port: EvacuationsPort;
  readonly #records: EvacuationRecords;
  readonly #news: EvacuationNews;
  readonly #running = new Map<string, { readonly runner: EvacuationRunner; readonly ended: Promise<void> }>();
  readonly #watches: Disposable[];
  #taking: Promise<void> = Promise.resolve();
  /** The one that has not begun. */
  #toTake: Promise<void> | null = null;
  #isOver = false;

  constructor(port: EvacuationsPort) {
    this.#port = port;
    this.#records = new EvacuationRecords(port.store);
    this.#news = new EvacuationNews({
      tell: (view) => port.changed(view),
      read: (id) => this.#records.find(id),
      failed: (id, reason) => port.failed(id, reason),
    });
    const look = (): void => void this.take();
    const changed = (id: string): void => {
      // What is written here is known here.
      if (this.#running.has(id)) return;
      look();
      this.#news.heardOf(id);
    };
    this.#watches = this.#records.watch(changed, look);
  }

  async request(body: EvacuateBody, initiator: Initiator): Promise<EvacuationView> {
    const { from, to = null, vms: onlyVms = null, skip = [], together = [], deadlineMs, by = null } = body;
    const twin = (await this.#records.open()).find(
      ({ view }) => view.from === from && (view.onlyVms === null || onlyVms === null),
    );
    if (twin) {
      const reason = `it is being evacuated already (${twin.view.id}): cancel that first, or wait for its end`;
      throw new GodwitError('GW_CONFLICT', { kind: 'host', name: from, reason });
    }
    const requestedAtMs = Date.now();
    const view: EvacuationView = {
      id: `e-${randomBytes(6).toString('hex')}`,
      from,
      to,
      onlyVms: onlyVms === null ? null : [...onlyVms],
      skip: [...skip],
      together: together.map((set) => [...set]),
      deadlineAtMs: deadlineMs === undefined ? null : requestedAtMs + deadlineMs,
      initiator,
      by,
      state: 'waiting',
      isCancelling: false,
      owner: null,
      requestedAtMs,
      startedAtMs: null,
      endedAtMs: null,
      predictedMs: null,
      predictedEndAtMs: null,
      vms: [],
      notes: [],
      error: null,
    };
    await this.#records.add(view);
    this.#news.changed(view);
    void this.take();
    return view;
  }

  /** Those that go on and the last that have ended, newest first. */
  async list(limit: number): Promise<EvacuationView[]> {
    const open = await this.#views();
    const ended = await this.#records.ended(limit);
    const known = new Set(ended.map(({ id }) => id));
    return [...open.filter(({ id }) => !known.has(id)), ...ended]
      .sort((a, b) => b.requestedAtMs - a.requestedAtMs)
      .slice(0, limit);
  }

  /** @param given - its first characters do @throws GW_FLEET_UNKNOWN */
  async show(given: string): Promise<EvacuationView> {
    const open = await this.#views();
    const whole = open.find(({ id }) => id === given);
    if (whole) return whole;
    const all = [...open, ...(await this.#records.ended(LOOKED_THROUGH))];
    const id = completeId(
      given,
      all.map((view) => view.id),
    );
    const found = all.find((view) => view.id === id);
    if (found) return found;
    throw new GodwitError('GW_FLEET_UNKNOWN', {
      kind: 'evacuation',
      name: given,
      fix: 'look at `godwit fleet evacuations`',
    });
  }

  async cancel(given: string): Promise<EvacuationView> {
    const view = await this.show(given);
    if (view.endedAtMs !== null) {
      throw new GodwitError('GW_CONFLICT', {
        kind: 'evacuation',
        name: view.id,
        reason: `it has ended (${view.state})`,
      });
    }
    await this.#records.cancel(view.id);
    void this.take();
    return { ...view, isCancelling: true };
  }

  /** Those that go on; where the store is silent those that run here. */
  async open(): Promise<readonly EvacuationView[]> {
    try {
      return await this.#views();
    } catch (error) {
      if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) throw error;
      return [...this.#running.values()].map(({ runner }) => runner.view);
    }
  }

  /** By VM that is yet to arrive, the id of the evacuation that it is part of. */
  async waiting(): Promise<ReadonlyMap<string, string>> {
    return new Map(
      (await this.open()).flatMap(({ id, vms }) =>
        vms.filter(({ state }) => state !== 'arrived').map(({ vm }): [string, string] => [vm, id]),
      ),
    );
  }

  /** What was predicted for a migration of one that is carried out here. */
  partOf(
    migration: Pick<ReportView, 'id' | 'vm' | 'startedAt'>,
  ): { readonly evacuation: string; readonly vm: EvacuatedVmView } | null {
    for (const { runner } of this.#running.values()) {
      const vm = runner.view.vms.find((each) => each.migration === migration.id || isMemberOf(each, migration));
      if (vm) return { evacuation: runner.view.id, vm };
    }
    return null;
  }

  /** Whether one for this reason goes on. */
  async isBusyWith(initiators: readonly Initiator[]): Promise<boolean> {
    return (await this.#records.open()).some(({ view }) => initiators.includes(view.initiator));
  }

  /** Carries out what is there to be carried out, if this controller leads. */
  take(): Promise<void> {
    this.#toTake ??= this.#taking.then(async () => {
      this.#toTake = null;
      try {
        await this.#take();
      } catch (error) {
        // It is looked for again, at the latest by the next look at the hosts.
        if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) this.#port.failed('evacuations', explain(error));
      }
    });
    this.#taking = this.#toTake;
    return this.#taking;
  }

  /** Leaves all that runs to the next controller. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    for (const watch of this.#watches) watch[Symbol.dispose]();
    const running = [...this.#running.values()];
    for (const { runner } of running) runner.abandon();
    await Promise.all(running.map(({ ended }) => ended));
    await this.#taking;
    this.#news[Symbol.dispose]();
  }

  async #take(): Promise<void> {
    if (this.#isOver || !this.#port.leads()) return;
    const cancelled = await this.#records.cancelled();
    for (const record of await this.#records.all()) {
      if (record.view.endedAtMs !== null) await this.#records.close(record.view);
      else if (!this.#running.has(record.view.id)) this.#run(record);
    }
    for (const id of cancelled) this.#running.get(id)?.runner.cancel();
  }

  #run(record: ReadRecord): void {
    const { id } = record.view;
    const port = { ...this.#port, changed: (view: EvacuationView) => this.#news.changed(view) };
    const runner = new EvacuationRunner(port, record, record.revision);
    const ended = runner
      .run()
      .then(async (end) => {
        if (end) await this.#records.close(end.view);
        // Whoever has it now may have ended it already.
        else this.#news.heardOf(id);
      })
      .catch((error: unknown) => {
        if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) this.#port.failed(id, explain(error));
      })
      .finally(() => this.#running.delete(id));
    this.#running.set(id, { runner, ended });
  }

  /** Of those that go on, as new as they are here. */
  async #views(): Promise<EvacuationView[]> {
    return (await this.#records.open()).map(({ view }) => this.#running.get(view.id)?.runner.view ?? view);
  }
}

/** Of a group on its way only the group's id is known, but no VM has two migrations at a time. */
function isMemberOf(
  { vm, state, groupMigration, startedAtMs }: EvacuatedVmView,
  migration: Pick<ReportView, 'vm' | 'startedAt'>,
): boolean {
  if (state !== 'running' || groupMigration === null || vm !== migration.vm) return false;
  return startedAtMs !== null && migration.startedAt >= startedAtMs - CLOCKS_APART_MS;
}
