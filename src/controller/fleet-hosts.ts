/**
 * The hosts of a fleet, asked and told over their APIs.
 *
 * Owns: one client a host. Must hold: a host that does not answer holds up no other and is told of with the reason; one that
 * answers and refuses (a wrong token) is told apart from a silent one, since waiting does not help; a migration that was begun is followed to its end, whichever daemon of its source host tells it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { HostEvent } from '../api/event-schema.ts';
import type { HostCall, HostReply } from '../api/fleet-service.ts';
import type { MigrateBody, MigrationView } from '../api/migration-schema.ts';
import type { OutlookView } from '../api/outlook-schema.ts';
import { asGodwitError, explain, GodwitError, hasCode } from '../base/errors.ts';
import { GodwitClient } from '../client/godwit-client.ts';
import type { FleetFile } from './fleet-file.ts';
import type { Answer } from './fleet-picture.ts';

const AGAIN_AFTER_MS = 500;
/** Of the controller and of a host. */
const CLOCKS_APART_MS = 5_000;
/** A planner does not wait longer for one host. */
const ANSWER_MS = 10_000;

export class FleetHosts implements AsyncDisposable {
  readonly #clients: ReadonlyMap<string, GodwitClient>;

  constructor({ hosts }: FleetFile) {
    this.#clients = new Map(
      hosts.map(({ name, api, token }) => [name, new GodwitClient({ url: api, ...(token === null ? {} : { token }) })]),
    );
  }

  /** @param isBrief - without what is in VMs */
  ask(isBrief = false): Promise<Answer[]> {
    return Promise.all([...this.#clients].map(([name, client]) => answerOf(name, client, isBrief)));
  }

  begin(host: string, vm: string, request: MigrateBody): Promise<MigrationView> {
    return this.#client(host).migrate(vm, request);
  }

  /** The newest of it that was begun about then or since; null: none was. While its host does not answer, it is waited for. */
  async find(host: string, vm: string, sinceMs: number, signal: AbortSignal): Promise<MigrationView | null> {
    const all = await this.#patiently(signal, () => this.#client(host).listMigrations());
    const begun = all.filter((each) => {
      return each.vm === vm && each.direction === 'outgoing' && each.startedAtMs >= sinceMs - CLOCKS_APART_MS;
    });
    return begun[0] ?? null;
  }

  /** Those that the host knows, newest first. */
  migrationsOf(host: string): Promise<MigrationView[]> {
    return this.#client(host).listMigrations();
  }

  eventsOf(host: string, lastEventId: string | undefined, signal: AbortSignal): AsyncIterable<HostEvent> {
    return this.#client(host).events({ signal, ...(lastEventId === undefined ? {} : { lastEventId }) });
  }

  call(host: string, call: HostCall): Promise<HostReply> {
    return this.#client(host).pass(call);
  }

  cancel(host: string, id: string): Promise<MigrationView> {
    return this.#client(host).cancelMigration(id);
  }

  /** How it ended. While its source host does not answer, it is waited for. */
  async endOf(host: string, id: string, signal: AbortSignal): Promise<MigrationView> {
    const client = this.#client(host);
    for (;;) {
      const view = await this.#patiently(signal, () => endOf(client, id, signal));
      if (view) return view;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
  }

  /** Again and again, while the host does not answer. */
  async #patiently<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (signal.aborted || !hasCode(error, 'GW_API_UNREACHABLE')) throw error;
      }
      await delay(AGAIN_AFTER_MS, undefined, { signal });
    }
  }

  #client(host: string): GodwitClient {
    const client = this.#clients.get(host);
    if (client) return client;
    const fix = `give one of ${[...this.#clients.keys()].join(', ')}`;
    throw new GodwitError('GW_INPUT_INVALID', { field: 'host', value: host, fix });
  }
}

/** undefined: its host fell silent. */
async function endOf(client: GodwitClient, id: string, signal: AbortSignal): Promise<MigrationView | undefined> {
  for await (const event of client.watchMigration(id, { signal })) {
    if (event.kind === 'migrationEnded') return event.migration;
  }
  await delay(AGAIN_AFTER_MS, undefined, { signal });
  return undefined;
}

async function answerOf(name: string, client: GodwitClient, isBrief: boolean): Promise<Answer> {
  const late = delay(ANSWER_MS, undefined, { ref: false }).then((): Answer => {
    return { name, failure: `it has not answered within ${ANSWER_MS / 1000} s` };
  });
  const asked = client.outlook({ isBrief }).then(
    (outlook) => refuseOther({ name, outlook }, client.url),
    (error: unknown): Answer => {
      if (hasCode(error, 'GW_API_UNREACHABLE')) return { name, failure: explain(error) };
      return { name, failure: explain(error), refusal: asGodwitError(error) };
    },
  );
  return Promise.race([asked, late]);
}

/** What is at the address of one host must not be taken for another: VMs would be sought and sent where they are not. */
export function refuseOther(answer: Answer & { outlook: OutlookView }, url: string): Answer {
  const { name, outlook } = answer;
  if (outlook.host === name) return answer;
  const field = `hosts.${name}.api`;
  const fix = `host ${outlook.host} answers there: give its name, or the address of ${name}`;
  const refusal = new GodwitError('GW_INPUT_INVALID', { field, value: url, fix });
  return { name, failure: refusal.message, refusal };
}

/** @throws what a host answers that does not tell */
export function insist(answers: readonly Answer[]): void {
  for (const answer of answers) if ('refusal' in answer && answer.refusal) throw answer.refusal;
}
