/**
 * Reports of ended migrations of groups: `group-migrations/ID.json` below the state directory, as they were last shown.
 *
 * Must hold: a bounded number is kept, the newest, as of migrations of VMs; what cannot be written is known to this daemon all
 * the same, what cannot be removed is forgotten, and what cannot be read is left as it is: all of it is told, and ends nothing.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_ORDER, GroupMigrationSchema, type GroupMigrationView } from '../api/group-migration-schema.ts';
import { parseInput } from '../api/input-error.ts';
import { explain, GodwitError } from '../base/errors.ts';
import { removeHalfWritten, writeFileAtomically } from './atomic-file.ts';
import type { LeavingGroup } from './group-records.ts';
import type { Logger } from './logger.ts';
import { newMemberView } from './member-outcome.ts';

export class GroupReports {
  readonly #directory: string;
  readonly #keep: number;
  readonly #log: Pick<Logger, 'error'>;
  /** Oldest first. */
  readonly #reports = new Map<string, GroupMigrationView>();

  constructor(stateDirectory: string, keep: number, log: Pick<Logger, 'error'>) {
    this.#directory = join(stateDirectory, 'group-migrations');
    this.#keep = keep;
    this.#log = log;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const found = readdirSync(this.#directory).flatMap((file) => this.#read(file));
    found.sort((a, b) => a.startedAtMs - b.startedAtMs);
    for (const report of found) this.#reports.set(report.id, report);
    this.#prune();
  }

  save(report: GroupMigrationView): void {
    this.#reports.delete(report.id);
    this.#reports.set(report.id, report);
    try {
      writeFileAtomically(this.#pathOf(report.id), `${JSON.stringify(report, null, 2)}\n`);
    } catch (error) {
      this.#log.error({ migration: report.id, reason: explain(error) }, 'cannot store the report of a group');
    }
    this.#prune();
  }

  get(id: string): GroupMigrationView | undefined {
    return this.#reports.get(id);
  }

  ids(): Iterable<string> {
    return this.#reports.keys();
  }

  /** Newest first. */
  list(): GroupMigrationView[] {
    return [...this.#reports.values()].reverse();
  }

  #read(file: string): GroupMigrationView[] {
    const path = join(this.#directory, file);
    if (!file.endsWith('.json')) {
      if (file.endsWith('.json.new')) removeHalfWritten(path.slice(0, -'.new'.length));
      return [];
    }
    try {
      return [parseInput(GroupMigrationSchema, JSON.parse(readFileSync(path, 'utf8')), 'report')];
    } catch (error) {
      this.#log.error({ path, reason: explain(error) }, 'cannot read the report of a group; left as it is');
      return [];
    }
  }

  #prune(): void {
    for (const id of this.#reports.keys()) {
      if (this.#reports.size <= this.#keep) return;
      this.#reports.delete(id);
      try {
        rmSync(this.#pathOf(id), { force: true });
      } catch (error) {
        this.#log.error({ migration: id, reason: explain(error) }, 'cannot remove the old report of a group');
      }
    }
  }

  /** Ids are UUIDs of this host's own. */
  #pathOf(id: string): string {
    return join(this.#directory, `${id}.json`);
  }
}

/** Of one that cannot be gone on with: its daemon was killed before anything had begun, or the host went down. */
export function undoneReport({ id, name, body, peer, vms, members, startedAtMs }: LeavingGroup): GroupMigrationView {
  const begun = members.map((member) => (member.state === 'moved' ? member : { ...member, state: 'failed' as const }));
  const phase = begun.some(({ state }) => state === 'moved') ? 'split' : 'preparing';
  return {
    ...{ id, group: name, to: peer ?? body.to, order: body.order ?? DEFAULT_ORDER, state: 'failed', startedAtMs },
    totalMs: Date.now() - startedAtMs,
    waitsFor: null,
    members: vms.map((vm) => begun.find((known) => known.vm === vm) ?? newMemberView(vm)),
    ...{ regions: [], notes: [], error: new GodwitError('GW_MIGRATION_INTERRUPTED', { phase }).toBody() },
  };
}
