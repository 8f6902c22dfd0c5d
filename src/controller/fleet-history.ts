/**
 * Migrations of a fleet that have ended, whoever began them.
 *
 * Owns: the log `migrations`. Must hold: each is there once, with what was predicted if it was part of an evacuation, also of one that has
 * ended by then; what is looked for is found as far back as it is kept.
 */
import type {
  EvacuatedVmView,
  EvacuationView,
  FinishedMigrationView,
  FleetHistoryView,
} from '../api/evacuation-schema.ts';
import type { HistoryQuery } from '../api/fleet-service.ts';
import type { MigrationView, ReportView } from '../api/migration-schema.ts';
import type { JsonValue } from '../base/errors.ts';
import { EvacuationRecords } from './evacuation-records.ts';
import type { Evacuations } from './evacuations.ts';
import { CLOCKS_APART_MS } from './fleet-hosts.ts';
import type { FleetStore } from './store.ts';

/** By whose end a migration of theirs may still be to be written down: all of them have just ended. */
const LAST_ENDED = 20;
/** So many are looked through at a time for what is asked for. */
const PAGE_ITEMS = 1000;

export class FleetHistory {
  readonly #store: FleetStore;
  readonly #evacuations: Evacuations;
  readonly #records: EvacuationRecords;

  constructor(store: FleetStore, evacuations: Evacuations) {
    this.#store = store;
    this.#evacuations = evacuations;
    this.#records = new EvacuationRecords(store);
  }

  /** Those that have not ended, or are told by the host that they come to, are left out. */
  async add(migrations: readonly MigrationView[]): Promise<void> {
    let ended: readonly EvacuationView[] | null = null;
    for (const { direction, report } of migrations) {
      if (direction !== 'outgoing' || report === null) continue;
      let part = partOf(this.#evacuations.carriedOut(), report);
      if (!part) {
        // One that is carried out no more is in the log by then.
        ended ??= await this.#records.ended(LAST_ENDED);
        part = partOf(ended, report);
      }
      await this.#add(report, part);
    }
  }

  /** Also evacuations. */
  async search({ limit, vm, host }: HistoryQuery): Promise<FleetHistoryView> {
    const isAll = vm === undefined && host === undefined;
    const isMeant = (names: readonly string[], hosts: readonly (string | null)[]): boolean =>
      (vm === undefined || names.includes(vm)) && (host === undefined || hosts.includes(host));
    const asked = { limit, pageItems: isAll ? limit : PAGE_ITEMS };
    const [migrations, evacuations] = await Promise.all([
      find(asked, this.newest.bind(this), (each) => isMeant([each.vm], [each.from, each.to])),
      find(asked, this.#records.ended.bind(this.#records), ({ vms, from, to }) =>
        isMeant(
          vms.map((each) => each.vm),
          [from, to, ...vms.map((each) => each.to)],
        ),
      ),
    ]);
    return { migrations, evacuations };
  }

  /** Newest first. @param skip - so many that are newer are left out */
  async newest(limit: number, skip = 0): Promise<FinishedMigrationView[]> {
    return (await this.#store.newest('migrations', limit, skip)) as unknown as FinishedMigrationView[];
  }

  async #add(report: ReportView, part: Part | null): Promise<void> {
    const { id, vm, from, to, startedAt, outcome, error, mode, wireBytes: bytes, totalMs, downtimeMs } = report;
    const finished: FinishedMigrationView = {
      ...{ id, vm, from, to, outcome, mode },
      evacuation: part?.evacuation ?? null,
      startedAtMs: startedAt,
      error: error?.message ?? null,
      predicted: part?.vm.predicted ?? null,
      actual: { bytes, totalMs, downtimeMs },
    };
    await this.#store.append('migrations', id, finished as unknown as JsonValue);
  }
}

/** What was predicted for a migration. */
interface Part {
  readonly evacuation: string;
  readonly vm: EvacuatedVmView;
}

/** Newest first, as far back as there are any. */
async function find<Item extends { readonly id: string }>(
  { limit, pageItems }: { readonly limit: number; readonly pageItems: number },
  newest: (limit: number, skip: number) => Promise<readonly Item[]>,
  isMeant: (item: Item) => boolean,
): Promise<Item[]> {
  // What is added meanwhile shifts the pages.
  const found = new Map<string, Item>();
  for (let skip = 0; found.size < limit; skip += pageItems) {
    const page = await newest(pageItems, skip);
    for (const item of page) if (found.size < limit && isMeant(item)) found.set(item.id, item);
    if (page.length < pageItems) break;
  }
  return [...found.values()];
}

/** What was predicted for a migration of one of them. */
function partOf(
  evacuations: readonly EvacuationView[],
  migration: Pick<ReportView, 'id' | 'vm' | 'startedAt'>,
): Part | null {
  for (const { id, vms, endedAtMs } of evacuations) {
    if (endedAtMs !== null && migration.startedAt > endedAtMs + CLOCKS_APART_MS) continue;
    const vm = vms.find((each) => isOf(each, migration));
    if (vm) return { evacuation: id, vm };
  }
  return null;
}

/** Of a group on its way only the group's id is known, but no VM has two migrations at a time. */
function isOf(each: EvacuatedVmView, { id, vm, startedAt }: Pick<ReportView, 'id' | 'vm' | 'startedAt'>): boolean {
  // Somebody else has begun it: nothing was predicted.
  if (each.startedAtMs === null) return false;
  if (each.migration === id) return true;
  const isWithGroup =
    (each.state === 'running' || each.state === 'left') && each.groupMigration !== null && each.vm === vm;
  return isWithGroup && startedAt >= each.startedAtMs - CLOCKS_APART_MS;
}
