/**
 * Migrations of a fleet that have ended, whoever began them.
 *
 * Owns: the log `migrations`. Must hold: each is there once, with what was predicted if it was part of an evacuation.
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
import type { Evacuations } from './evacuations.ts';
import { CLOCKS_APART_MS } from './fleet-hosts.ts';
import type { FleetStore } from './store.ts';

export class FleetHistory {
  readonly #store: FleetStore;
  readonly #evacuations: Evacuations;

  constructor(store: FleetStore, evacuations: Evacuations) {
    this.#store = store;
    this.#evacuations = evacuations;
  }

  /** One that has not ended, or is told by the host that it comes to, is left out. */
  async add({ direction, report }: MigrationView): Promise<void> {
    if (direction !== 'outgoing' || report === null) return;
    const { id, vm, from, to, startedAt, outcome, error, mode, wireBytes: bytes, totalMs, downtimeMs } = report;
    const part = partOf(this.#evacuations.carriedOut(), report);
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

  /** Also evacuations. */
  async search({ limit, vm, host }: HistoryQuery): Promise<FleetHistoryView> {
    // What is asked for may be far back.
    const isAll = vm === undefined && host === undefined;
    const many = isAll ? limit : 1000;
    const [migrations, evacuations] = await Promise.all([this.newest(many), this.#evacuations.list(many)]);
    const isMeant = (names: readonly string[], hosts: readonly (string | null)[]): boolean =>
      (vm === undefined || names.includes(vm)) && (host === undefined || hosts.includes(host));
    return {
      migrations: migrations.filter((each) => isMeant([each.vm], [each.from, each.to])).slice(0, limit),
      evacuations: evacuations
        .filter(({ endedAtMs }) => endedAtMs !== null)
        .filter(({ vms, from, to }) =>
          isMeant(
            vms.map((each) => each.vm),
            [from, to, ...vms.map((each) => each.to)],
          ),
        )
        .slice(0, limit),
    };
  }

  /** Newest first. */
  async newest(limit: number): Promise<FinishedMigrationView[]> {
    return (await this.#store.newest('migrations', limit)) as unknown as FinishedMigrationView[];
  }
}

/** What was predicted for a migration of one of them. */
function partOf(
  evacuations: readonly EvacuationView[],
  migration: Pick<ReportView, 'id' | 'vm' | 'startedAt'>,
): { readonly evacuation: string; readonly vm: EvacuatedVmView } | null {
  for (const { id, vms } of evacuations) {
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
  const isWithGroup = each.state === 'running' && each.groupMigration !== null && each.vm === vm;
  return isWithGroup && startedAt >= each.startedAtMs - CLOCKS_APART_MS;
}
