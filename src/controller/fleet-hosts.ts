/**
 * The hosts of a fleet, asked and told over their APIs.
 *
 * Owns: questions and orders to them (host-clients.ts has where they are). Must hold: a host that does not answer holds up no other and is told of with the reason; one that
 * answers and refuses (a wrong token) is told apart from a silent one, since waiting does not help; a migration that was begun is
 * followed to its end, whichever daemon of its source host tells it, and an error that says nothing of it is not its end.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { CommonalityView } from '../api/commonality-schema.ts';
import type { HostEvent } from '../api/event-schema.ts';
import type { HostCall, HostReply } from '../api/fleet-service.ts';
import type { GroupMigrateBody, GroupMigrationView } from '../api/group-migration-schema.ts';
import type { MigrateBody, MigrationView } from '../api/migration-schema.ts';
import type { OrderWords } from '../api/order-schema.ts';
import type { GodwitClient } from '../client/godwit-client.ts';
import type { EvacuationHosts, GroupEnd, MigrationStage } from './evacuation-port.ts';
import type { FleetFile } from './fleet-file.ts';
import type { Answer } from './fleet-picture.ts';
import { endOf } from './followed-migration.ts';
import { HeldSamples } from './held-samples.ts';
import { answerOf } from './host-answer.ts';
import { HostClients } from './host-clients.ts';
import { AGAIN_AFTER_MS, isAbort, isSilence, patiently, saysNothing, whileSilent } from './host-patience.ts';

/** A host that has lost its power never answers: what it was told to do is then looked for, and told again. */
const ORDER_MS = 60_000;
/** What was begun without an answer. */
const SOUGHT_MS = 15_000;
/** Of an answer's time: so long a look waits for a host that was silent before. */
const SILENT_PART = 0.1;
/** Of the controller and of a host. */
export const CLOCKS_APART_MS = 5_000;
/** A planner does not wait longer for one host. */
const ANSWER_MS = 10_000;

export class FleetHosts implements EvacuationHosts, AsyncDisposable {
  readonly #clients = new HostClients();

  /** For the answer to a question; one that fell silent meanwhile is asked again. */
  readonly #answer: { readonly longestSilenceMs: number };
  /** Of hosts that did not answer when they were asked last. */
  readonly #silences = new Map<string, Answer>();
  /** Questions to those that are still open. */
  readonly #asked = new Map<string, Promise<Answer>>();
  readonly #samples = new Map<string, HeldSamples>();

  /** @param answerMs - tests have no time */
  constructor(file: Pick<FleetFile, 'hosts'>, answerMs = ANSWER_MS) {
    this.#answer = { longestSilenceMs: answerMs };
    this.follow(file);
  }

  /** Those from now on. */
  follow(file: Pick<FleetFile, 'hosts'>): void {
    for (const name of this.#clients.follow(file)) this.#silences.delete(name);
  }

  /** @param isBrief - without what is in VMs */
  ask(isBrief = false): Promise<Answer[]> {
    return Promise.all(
      this.#clients
        .all()
        .map(([name, { client, unproven }]) =>
          client ? this.#ask(name, client, isBrief) : { name, failure: unproven, isRefusal: false, isFinal: false },
        ),
    );
  }

  async commonality(host: string, exact: boolean): Promise<CommonalityView> {
    return await this.#clients.of(host).commonality({ exact });
  }

  async begin(host: string, vm: string, request: MigrateBody): Promise<MigrationView> {
    return await this.#orSought(
      () => this.#clients.of(host).migrate(vm, request, { longestSilenceMs: ORDER_MS }),
      () => this.#find(host, request),
    );
  }

  /**
   * What this order has begun; null: nothing, and it will not where a newer leader asks. While its host does not answer, it is waited for.
   */
  async find(host: string, order: OrderWords, signal: AbortSignal): Promise<MigrationView | null> {
    return await patiently(signal, async () => {
      await this.#lead(host, order);
      return await this.#find(host, order);
    });
  }

  /** Those that the host knows, newest first. */
  migrationsOf(host: string): Promise<MigrationView[]> {
    return this.#clients.of(host).listMigrations(this.#answer);
  }

  eventsOf(host: string, lastEventId: string | undefined, signal: AbortSignal): AsyncIterable<HostEvent> {
    return this.#clients.of(host).events({ signal, ...(lastEventId === undefined ? {} : { lastEventId }) });
  }

  call(host: string, call: HostCall): Promise<HostReply> {
    return this.#clients.of(host).pass(call);
  }

  async cancel(host: string, id: string): Promise<MigrationView> {
    return await this.#clients.of(host).cancelMigration(id, { longestSilenceMs: ORDER_MS });
  }

  async letGo(host: string, ids: readonly string[]): Promise<MigrationView[]> {
    return await this.#clients.of(host).letMigrationsGo(ids, this.#answer);
  }

  /** How it ended. While its source host does not answer, or with an error that says nothing of it, it is waited for. */
  async endOf(
    host: string,
    id: string,
    signal: AbortSignal,
    heard?: (stage: MigrationStage) => void,
  ): Promise<MigrationView> {
    for (;;) {
      const view = await patiently(signal, () => endOf(this.#clients.of(host), id, signal, heard));
      if (view) return view;
    }
  }

  async beginGroup(host: string, name: string, request: GroupMigrateBody): Promise<GroupMigrationView> {
    return await this.#orSought(
      () => this.#clients.of(host).migrateGroup(name, request, { longestSilenceMs: ORDER_MS }),
      () => this.#findGroup(host, request),
    );
  }

  /** As `find`, of a group. */
  async findGroup(host: string, order: OrderWords, signal: AbortSignal): Promise<GroupMigrationView | null> {
    return await patiently(signal, async () => {
      await this.#lead(host, order);
      return await this.#findGroup(host, order);
    });
  }

  async cancelGroup(host: string, id: string): Promise<GroupMigrationView> {
    return await this.#clients.of(host).cancelGroupMigration(id, { longestSilenceMs: ORDER_MS });
  }

  /** As `endOf`, of a group: it is asked again and again. */
  async endOfGroup(host: string, id: string, signal: AbortSignal): Promise<GroupEnd> {
    for (;;) {
      const end = await patiently(signal, async () => {
        const client = this.#clients.of(host);
        const group = await client.showGroupMigration(id, this.#answer);
        if (group.totalMs === null) return null;
        const ids = group.members.flatMap(({ migration }) => migration ?? []);
        return { group, migrations: await Promise.all(ids.map((each) => client.showMigration(each, this.#answer))) };
      });
      if (end) return end;
      await delay(AGAIN_AFTER_MS, undefined, { signal });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#clients[Symbol.asyncDispose]();
  }

  /** From now on the host refuses what was ordered by whoever led before. */
  async #lead(host: string, { leader }: OrderWords): Promise<void> {
    if (leader) await this.#clients.of(host).acknowledgeLeader(leader, this.#answer);
  }

  async #find(host: string, { requestId }: OrderWords): Promise<MigrationView | null> {
    if (requestId === undefined) return null;
    const [begun] = await this.#clients.of(host).listMigrations({ requestId, ...this.#answer });
    return begun ?? null;
  }

  async #findGroup(host: string, { requestId }: OrderWords): Promise<GroupMigrationView | null> {
    if (requestId === undefined) return null;
    const [begun] = await this.#clients.of(host).listGroupMigrations({ requestId, ...this.#answer });
    return begun ?? null;
  }

  /** The order may have come there although its answer was lost: then it is this one. */
  async #orSought<T>(order: () => Promise<T>, seek: () => Promise<T | null>): Promise<T> {
    try {
      return await order();
    } catch (error) {
      if (!saysNothing(error)) throw error;
      const begun = await whileSilent(AbortSignal.timeout(SOUGHT_MS), seek).catch((failure: unknown) => {
        // One that answers with an error has more to tell than that it was silent.
        if (isSilence(failure) || isAbort(failure)) return null;
        throw failure;
      });
      if (begun === null) throw error;
      return begun;
    }
  }

  /** One that was silent is asked again, and heard as soon as it answers, but holds up no look. */
  #ask(name: string, client: GodwitClient, isBrief: boolean): Promise<Answer> {
    const key = `${name} ${isBrief}`;
    const silence = this.#silences.get(name);
    const asked = (silence && this.#asked.get(key)) ?? this.#answerOf(name, client, isBrief);
    if (!silence) return asked;
    this.#asked.set(key, asked);
    void asked.finally(() => this.#asked.delete(key));
    const { longestSilenceMs } = this.#answer;
    return Promise.race([asked, delay(longestSilenceMs * SILENT_PART, silence, { ref: false })]);
  }

  async #answerOf(name: string, client: GodwitClient, isBrief: boolean): Promise<Answer> {
    const answer = await answerOf(name, client, isBrief ? null : this.#samplesOf(name), this.#answer.longestSilenceMs);
    if ('outlook' in answer || answer.isRefusal) this.#silences.delete(name);
    else this.#silences.set(name, answer);
    return answer;
  }

  #samplesOf(host: string): HeldSamples {
    const samples = this.#samples.get(host) ?? new HeldSamples();
    this.#samples.set(host, samples);
    return samples;
  }
}
