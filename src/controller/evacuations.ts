/**
 * All evacuations: those that are asked for, those that this controller carries out, those that are over.
 *
 * Owns: which of them run here. Must hold: any controller takes them and shows them, the one that leads carries them out;
 * of two that are asked for one host in the same moment, at whichever controllers, the second is refused; what runs here is shown,
 * and cancelled at once, also while the store is silent.
 */
import type { EvacuateBody, EvacuationView } from '../api/evacuation-schema.ts';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { explain, GodwitError, hasCode } from '../base/errors.ts';
import { completeId } from '../host/migration-id.ts';
import { EvacuationClaims, refuseClaimed } from './evacuation-claims.ts';
import { EvacuationNews } from './evacuation-news.ts';
import { EvacuationRecords, type ReadRecord } from './evacuation-records.ts';
import { EvacuationRunner, type RunnerPort } from './evacuation-runner.ts';
import { JointPlanning } from './joint-planning.ts';
import { type Initiator, requestedEvacuation } from './requested-evacuation.ts';
import { unlessSilent } from './store.ts';

export interface EvacuationsPort extends Omit<RunnerPort, 'planning'> {
  leads(): boolean;
  /** Of a runner that failed as it must not. */
  failed(id: string, reason: string): void;
}

/** Those that have ended that are looked through for an id. */
const LOOKED_THROUGH = 1000;

export class Evacuations implements AsyncDisposable {
  readonly #port: EvacuationsPort;
  readonly #records: EvacuationRecords;
  readonly #claims: EvacuationClaims;
  readonly #news: EvacuationNews;
  readonly #planning = new JointPlanning();
  readonly #running = new Map<string, { readonly runner: EvacuationRunner; readonly ended: Promise<void> }>();
  readonly #watches: Disposable[];
  #taking: Promise<void> = Promise.resolve();
  /** The one that has not begun. */
  #toTake: Promise<void> | null = null;
  #isOver = false;

  constructor(port: EvacuationsPort) {
    this.#port = port;
    this.#records = new EvacuationRecords(port.store);
    this.#claims = new EvacuationClaims(port.store, SYSTEM_CLOCK);
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

  /** @throws GW_CONFLICT - another one has the host */
  async request(body: EvacuateBody, initiator: Initiator, id?: string): Promise<EvacuationView> {
    const view = requestedEvacuation(body, initiator, id);
    const first = await this.#claim(view);
    if (first !== null) throw refuseClaimed(view, first);
    await this.#records.add(view);
    this.#news.changed(view);
    void this.take();
    return view;
  }

  /** Those that go on and the last that have ended, newest first; where the store is silent those that run here. */
  list(limit: number): Promise<EvacuationView[]> {
    return unlessSilent(this.listStored(limit), () => this.carriedOut().toReversed().slice(0, limit));
  }

  /** As `list`. @throws GW_STORE_UNAVAILABLE */
  async listStored(limit: number): Promise<EvacuationView[]> {
    const [open, ended] = await Promise.all([this.#views(), this.#records.ended(limit)]);
    const known = new Set(ended.map(({ id }) => id));
    return [...open.filter(({ id }) => !known.has(id)), ...ended]
      .sort((a, b) => b.requestedAtMs - a.requestedAtMs)
      .slice(0, limit);
  }

  /** @param given - its first characters do @throws GW_FLEET_UNKNOWN */
  async show(given: string): Promise<EvacuationView> {
    const here = this.#running.get(given);
    if (here) return here.runner.view;
    const open = await this.open();
    const whole = open.find(({ id }) => id === given);
    if (whole) return whole;
    const ended = await unlessSilent(this.#records.ended(LOOKED_THROUGH), (silence) => {
      if (!open.some(({ id }) => id.startsWith(given))) throw silence;
      return [];
    });
    const all = [...open, ...ended];
    const ids = all.map(({ id }) => id);
    const found = all[ids.indexOf(completeId(given, ids))];
    if (found) return found;
    const fix = 'look at `godwit fleet evacuations`';
    throw new GodwitError('GW_FLEET_UNKNOWN', { kind: 'evacuation', name: given, fix });
  }

  async cancel(given: string): Promise<EvacuationView> {
    const view = await this.show(given);
    if (view.endedAtMs !== null) {
      const reason = `it has ended (${view.state})`;
      throw new GodwitError('GW_CONFLICT', { kind: 'evacuation', name: view.id, reason });
    }
    const here = this.#running.get(view.id);
    here?.runner.cancel();
    const written = this.#records.cancel(view.id);
    // Another controller may have taken it over meanwhile: it is to hear of the wish as soon as the store answers.
    await unlessSilent(written, (silence) => {
      if (!here) throw silence;
      this.#records.cancelLater(view.id);
    });
    void this.take();
    return { ...view, isCancelling: true };
  }

  /** Those that go on; where the store is silent those that run here. */
  open(): Promise<readonly EvacuationView[]> {
    return unlessSilent<readonly EvacuationView[]>(this.#views(), () => this.carriedOut());
  }

  /** Those that this controller carries out. */
  carriedOut(): EvacuationView[] {
    return [...this.#running.values()].map(({ runner }) => runner.view);
  }

  /** By VM that is yet to arrive, the id of the evacuation that it is part of. */
  async waiting(): Promise<ReadonlyMap<string, string>> {
    return new Map(
      (await this.open()).flatMap(({ id, vms, onlyVms }) => {
        const arrived = vms.flatMap(({ vm, state }) => (state === 'arrived' ? [vm] : []));
        const meant = [...vms.map(({ vm }) => vm), ...(onlyVms ?? [])];
        return meant.filter((vm) => !arrived.includes(vm)).map((vm): [string, string] => [vm, id]);
      }),
    );
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
    if (this.#isOver) return;
    await this.#records.writeWishes();
    if (!this.#port.leads()) return;
    const cancelled = await this.#records.cancelled();
    const all = await this.#records.all();
    for (const record of all) {
      const { view } = record;
      if (view.endedAtMs !== null) await this.#close(view);
      else if (!this.#running.has(view.id)) await this.#begin(record);
    }
    await this.#claims.freeLost(new Set(all.map(({ view }) => view.id)));
    for (const id of cancelled) this.#running.get(id)?.runner.cancel();
  }

  /** Whoever asked for it was held up for so long that its claim was taken for lost, if another one has the host. */
  async #begin(record: ReadRecord): Promise<void> {
    const { view } = record;
    const first = await this.#claim(view);
    if (first === null) return this.#run(record);
    const error = { ...refuseClaimed(view, first).toBody() };
    const ended: EvacuationView = { ...view, state: 'failed', endedAtMs: Date.now(), error };
    await this.#close(ended);
    this.#news.changed(ended);
  }

  /** null: it has the host; else the id of the one that has. */
  async #claim(view: EvacuationView): Promise<string | null> {
    for (;;) {
      const first = await this.#claims.claim(view);
      const other = first === null ? undefined : await this.#records.find(first);
      if (!other || other.endedAtMs === null) return first;
      // Its controller has not come to that yet.
      await this.#close(other);
    }
  }

  async #close(view: EvacuationView): Promise<void> {
    await this.#records.keep(view);
    await this.#claims.free(view);
    await this.#records.remove(view.id);
  }

  #run(record: ReadRecord): void {
    const { id } = record.view;
    const changed = (view: EvacuationView): void => this.#news.changed(view);
    const port = { ...this.#port, planning: this.#planning, changed };
    const runner = new EvacuationRunner(port, record, record.revision);
    const ended = runner
      .run()
      .then(async (end) => {
        if (end) await this.#close(end.view);
        else await this.#leave(record.view);
      })
      .catch((error: unknown) => {
        if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) this.#port.failed(id, explain(error));
      })
      .finally(() => this.#running.delete(id));
    this.#running.set(id, { runner, ended });
  }

  /** Another one has it, and may have ended it already. */
  async #leave(view: EvacuationView): Promise<void> {
    this.#news.heardOf(view.id);
    const left = await this.#records.find(view.id);
    if (!left || left.endedAtMs !== null) await this.#claims.free(view);
  }

  /** Of those that go on, as new as they are here. */
  async #views(): Promise<EvacuationView[]> {
    return (await this.#records.open()).map(({ view }) => this.#running.get(view.id)?.runner.view ?? view);
  }
}
