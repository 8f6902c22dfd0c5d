/**
 * One evacuation, carried out by this controller.
 *
 * Owns: its record in the store while it does. Must hold: what is about to begin is in the store before a host is asked for it, so
 * that whoever goes on with it finds each migration; a controller that has lost the record begins nothing more and cancels nothing.
 */
import type { EvacuationView } from '../api/evacuation-schema.ts';
import type { Leader, OrderWords } from '../api/order-schema.ts';
import { asGodwitError, explain, GodwitError, type JsonValue } from '../base/errors.ts';
import { unlessAborted } from '../base/unless-aborted.ts';
import type { BundledPlan } from './bundled-plan.ts';
import { Evacuation } from './evacuation.ts';
import type {
  EvacuationEvent,
  EvacuationHosts,
  EvacuationMemory,
  EvacuationOutcome,
  EvacuationPort,
} from './evacuation-port.ts';
import { noteOf, showVms } from './evacuation-view.ts';
import type { JointPlanning, SharedLook } from './joint-planning.ts';
import { OwnedRecord } from './owned-record.ts';
import { isNewPlan } from './plan-change.ts';
import type { FleetStore } from './store.ts';

/** As the store has it. */
export interface EvacuationRecord {
  readonly view: EvacuationView;
  /** null: nobody has begun it. */
  readonly memory: EvacuationMemory | null;
}

export interface RunnerPort {
  readonly store: FleetStore;
  readonly hosts: EvacuationHosts;
  readonly planning: JointPlanning;
  /** Of this controller. */
  readonly name: string;
  /** What orders of this controller bear; null: there is no other. */
  orders(): Leader | null;
  look(): Promise<SharedLook>;
  changed(view: EvacuationView): void;
}

/** A look asks every host for all of its VMs. */
const LOOK_AGAIN_MS = 1000;
const KEPT_NOTES = 100;

export class EvacuationRunner {
  readonly #port: RunnerPort;
  readonly #owned: OwnedRecord;
  readonly #evacuation: Evacuation;
  readonly #cancel = new AbortController();
  readonly #leave = new AbortController();
  #view: EvacuationView;
  #plan: BundledPlan | null = null;
  /** The one that was told last. */
  #told: BundledPlan | null = null;
  /** The write that has not begun. */
  #waiting: Promise<boolean> | null = null;
  #last: Promise<unknown> = Promise.resolve();

  /** @param revision - at which the record was read */
  constructor(port: RunnerPort, { view, memory }: EvacuationRecord, revision: number) {
    this.#port = port;
    const startedAtMs = view.startedAtMs ?? Date.now();
    this.#view = { ...view, startedAtMs };
    this.#owned = new OwnedRecord(port.store, keyOf(view.id), revision);
    const { from, to, deadlineAtMs, onlyVms: vms } = view;
    const skip = new Map(view.skip.map((vm) => [vm, 'it is to stay: --skip']));
    this.#evacuation = new Evacuation(this.#portOf(), { from, to, deadlineAtMs, startedAtMs, vms, skip }, memory);
    if (memory) this.#note(`${port.name} goes on with it`);
  }

  get view(): EvacuationView {
    return this.#view;
  }

  cancel(): void {
    if (this.#cancel.signal.aborted) return;
    this.#show({ isCancelling: true });
    void this.#save();
    this.#cancel.abort();
  }

  /** Leaves it to whoever goes on with it: what runs, runs on. */
  abandon(): void {
    this.#leave.abort();
    this.#cancel.abort();
  }

  /** The record as it is at the end; null: it was left to another. */
  async run(): Promise<EvacuationRecord | null> {
    const { name: owner } = this.#port;
    this.#show({ owner, state: 'running' });
    try {
      if (!(await this.#save())) return null;
      const outcome = await this.#evacuation.run(this.#cancel.signal, this.#leave.signal).catch(asGodwitError);
      if (this.#leave.signal.aborted) return null;
      this.#end(outcome);
      return (await this.#save()) ? this.#record() : null;
    } catch (error) {
      // The store did not answer until it was left.
      if (this.#leave.signal.aborted) return null;
      throw error;
    }
  }

  #portOf(): EvacuationPort {
    return {
      planning: this.#port.planning,
      hosts: this.#ledHosts(),
      look: () => this.#port.look(),
      picture: (look) => look.pictureFor(this.#view),
      record: () => this.#recordBegun(),
      nowMs: () => Date.now(),
      lookAgainMs: LOOK_AGAIN_MS,
      onEvent: (event) => this.#hear(event),
    };
  }

  async #recordBegun(): Promise<void> {
    this.#refresh();
    const saved = await unlessAborted(this.#save(), this.#cancel.signal);
    if (saved === false) throw refused(this.#view.id, 'another controller has taken it over');
    // A silent store holds up the beginning, and by the time that it answers nobody wants it any more.
    if (this.#cancel.signal.aborted) throw refused(this.#view.id, 'it was cancelled before the store had it');
  }

  /** Hosts that are told who leads. */
  #ledHosts(): EvacuationHosts {
    const { hosts } = this.#port;
    return {
      begin: (host, vm, request) => hosts.begin(host, vm, this.#led(request)),
      beginGroup: (host, name, request) => hosts.beginGroup(host, name, this.#led(request)),
      find: (host, order, signal) => hosts.find(host, this.#led(order), signal),
      endOf: (...call) => hosts.endOf(...call),
      letGo: (...call) => hosts.letGo(...call),
      cancel: (...call) => hosts.cancel(...call),
      findGroup: (host, order, signal) => hosts.findGroup(host, this.#led(order), signal),
      endOfGroup: (...call) => hosts.endOfGroup(...call),
      cancelGroup: (...call) => hosts.cancelGroup(...call),
    };
  }

  #led<T extends OrderWords>(order: T): T {
    const leader = this.#port.orders();
    return leader === null ? order : { ...order, leader };
  }

  #hear(event: EvacuationEvent): void {
    if (event.kind === 'planned') {
      this.#plan = event.plan;
      if (!isNewPlan(this.#told, event.plan)) return;
    }
    const note = noteOf(event);
    if (note !== null) this.#note(note);
    this.#refresh();
    void this.#save();
  }

  #refresh(): void {
    this.#told = this.#plan;
    const memory = this.#evacuation.memory();
    const endsAtMs =
      this.#plan && this.#plan.moves.length + memory.running.length > 0
        ? this.#plan.madeAtMs + this.#plan.makespanMs
        : null;
    this.#show({ vms: showVms(memory, this.#plan, null), predictedMs: memory.predictedMs, predictedEndAtMs: endsAtMs });
  }

  /** @param ended - or why it did not begin */
  #end(ended: EvacuationOutcome | GodwitError): void {
    const outcome = ended instanceof GodwitError ? null : ended;
    const error = ended instanceof GodwitError ? ended : ended.error;
    const memory = this.#evacuation.memory();
    this.#note(outcome?.state ?? explain(error));
    this.#show({
      state: outcome?.state ?? 'failed',
      isCancelling: false,
      endedAtMs: Date.now(),
      predictedEndAtMs: null,
      vms: showVms(memory, null, outcome),
      error: error && { ...error.toBody() },
    });
  }

  #note(text: string): void {
    this.#show({ notes: [...this.#view.notes, { atMs: Date.now(), text }].slice(-KEPT_NOTES) });
  }

  #show(more: Partial<EvacuationView>): void {
    this.#view = { ...this.#view, ...more };
  }

  #record(): EvacuationRecord {
    return { view: this.#view, memory: this.#evacuation.memory() };
  }

  /** What is newest when its turn comes; false: another has the record. */
  #save(): Promise<boolean> {
    this.#port.changed(this.#view);
    this.#waiting ??= this.#last.then(async () => {
      this.#waiting = null;
      const saved = await this.#owned.save(this.#record() as unknown as JsonValue, this.#leave.signal);
      if (!saved) this.abandon();
      return saved;
    });
    this.#last = this.#waiting.catch(() => undefined);
    return this.#waiting;
  }
}

function refused(name: string, reason: string): GodwitError {
  return new GodwitError('GW_CONFLICT', { kind: 'evacuation', name, reason });
}

export function keyOf(id: string): string {
  return `evacuation.${id}`;
}
