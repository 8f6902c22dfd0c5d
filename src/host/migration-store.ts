/**
 * Reports of ended migrations: `migrations/ID/report.json` below the state directory; and, in `begun.json` until then, what
 * is to be reported of one whose daemon died before it could, and whose journal has nothing open.
 *
 * Must hold: a bounded number is kept, the newest; only an id that is safe as a file name touches the disk (the id of
 * an incoming migration comes from the other host).
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { type EmptyReportFacts, emptyReport } from '../migration/empty-report.ts';
import { journalPath, readJournal } from '../migration/journal.ts';
import { leftReport } from '../migration/left-report.ts';
import type { MigrationReport } from '../migration/report.ts';
import { writeFileAtomically } from './atomic-file.ts';
import { parseStoredReport } from './stored-report.ts';

const SAFE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export class MigrationStore {
  readonly #stateDirectory: string;
  readonly #directory: string;
  readonly #keep: number;
  /** Oldest first. */
  readonly #reports = new Map<string, MigrationReport>();

  constructor(stateDirectory: string, keep: number) {
    this.#stateDirectory = stateDirectory;
    this.#directory = join(stateDirectory, 'migrations');
    this.#keep = keep;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  /** Reads what is there; returns the directories that could not be read. */
  load(): string[] {
    const damaged: string[] = [];
    const found: MigrationReport[] = [];
    for (const id of readdirSync(this.#directory)) {
      try {
        const report = this.#read(id) ?? this.#endBegun(id);
        if (report) found.push(report);
      } catch {
        damaged.push(join(this.#directory, id));
      }
    }
    found.sort((a, b) => a.startedAt - b.startedAt);
    for (const report of found) this.#reports.set(report.id, report);
    this.#prune();
    return damaged;
  }

  /** An outgoing migration begins. */
  begin(input: EmptyReportFacts['input']): void {
    const error = new GodwitError('GW_MIGRATION_INTERRUPTED', { phase: 'preparing' }).toBody();
    const facts = { input, startedAt: Date.now(), totalMs: 0, outcome: 'failed', error, interrupted: true } as const;
    try {
      mkdirSync(join(this.#directory, input.id), { recursive: true, mode: 0o700 });
      writeFileAtomically(this.#begunPath(input.id), JSON.stringify(emptyReport(facts)));
    } catch {
      // Where nothing can be written the journal cannot be either, and the migration ends with that reason.
    }
  }

  save(report: MigrationReport): void {
    this.#reports.delete(report.id);
    this.#reports.set(report.id, report);
    if (SAFE_ID.test(report.id)) this.#write(report);
    this.#prune();
  }

  /** What has become known of one that was reported. */
  amend(id: string, change: (report: MigrationReport) => MigrationReport): void {
    const report = this.#reports.get(id);
    if (!report) return;
    const amended = change(report);
    this.#reports.set(id, amended);
    if (SAFE_ID.test(id)) this.#write(amended);
  }

  /** There is nothing to report that is not reported, or it never began. */
  forget(id: string): void {
    rmSync(this.#begunPath(id), { force: true });
    try {
      rmdirSync(join(this.#directory, id));
    } catch (error) {
      // There is more in it, or it was never made.
      if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }

  get(id: string): MigrationReport | undefined {
    return this.#reports.get(id);
  }

  /** Whether a report says where the VM is; one that was made of a journal that cannot be read does not know. */
  knowsOwner(id: string): boolean {
    const report = this.get(id);
    return report !== undefined && report.error?.code !== 'GW_JOURNAL_CORRUPT';
  }

  /** The VM of an outgoing migration that has not been reported; null: not known. */
  vmOfBegun(id: string): string | null {
    try {
      return parseStoredReport(readFileSync(this.#begunPath(id), 'utf8')).vm;
    } catch {
      return null; // it is only needed where a journal cannot be read, and may be as damaged
    }
  }

  ids(): Iterable<string> {
    return this.#reports.keys();
  }

  /** Newest first. */
  list(): MigrationReport[] {
    return [...this.#reports.values()].reverse();
  }

  /** Why there is no VM of this name: it may have moved away. */
  absenceOf(vm: string, hostName: string): GodwitError {
    // One that failed after its commit has given the VM away, too.
    const gave = ({ from, owner }: MigrationReport) => from === hostName && owner !== hostName;
    const last = this.list().find((report) => report.vm === vm && (report.outcome === 'completed' || gave(report)));
    if (last === undefined || last.owner === hostName) return new GodwitError('GW_NOT_FOUND', { kind: 'VM', name: vm });
    return new GodwitError('GW_VM_MOVED', { vm, id: last.id, owner: last.owner });
  }

  /** Whether this migration has given its VM away; the VM's record may be here still (the daemon was killed). */
  hasGiven(id: string): boolean {
    const report = this.get(id);
    // Two hosts can have one name.
    return report !== undefined && (report.outcome === 'completed' || report.owner !== report.from);
  }

  #begunPath(id: string): string {
    return join(this.#directory, id, 'begun.json');
  }

  #read(id: string): MigrationReport | undefined {
    const path = join(this.#directory, id, 'report.json');
    return existsSync(path) ? parseStoredReport(readFileSync(path, 'utf8')) : undefined;
  }

  /** undefined: it is open, which is the engine's business, or there was none. */
  #endBegun(id: string): MigrationReport | undefined {
    if (!existsSync(this.#begunPath(id))) return undefined;
    const begun = parseStoredReport(readFileSync(this.#begunPath(id), 'utf8'));
    const path = journalPath(this.#stateDirectory, id, 'outgoing');
    const ended = leftReport(begun, existsSync(path) ? readJournal(path) : []);
    if (!ended) return undefined;
    const report = { ...ended, totalMs: Date.now() - begun.startedAt };
    try {
      this.#write(report);
    } catch {
      // It is told all the same, and the next daemon tries again.
    }
    return report;
  }

  #write(report: MigrationReport): void {
    mkdirSync(join(this.#directory, report.id), { recursive: true, mode: 0o700 });
    writeFileAtomically(join(this.#directory, report.id, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
    this.forget(report.id);
  }

  #prune(): void {
    for (const id of this.#reports.keys()) {
      if (this.#reports.size <= this.#keep) return;
      this.#reports.delete(id);
      if (SAFE_ID.test(id)) rmSync(join(this.#directory, id), { recursive: true, force: true });
    }
  }
}
