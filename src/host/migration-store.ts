/**
 * Reports of ended migrations: `migrations/ID/report.json` below the state directory.
 *
 * Must hold: a bounded number is kept, the newest; only an id that is safe as a file name touches the disk (the id of
 * an incoming migration comes from the other host).
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import type { MigrationReport } from '../migration/report.ts';
import { writeFileAtomically } from './atomic-file.ts';
import { parseStoredReport } from './stored-report.ts';

const SAFE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export class MigrationStore {
  readonly #directory: string;
  readonly #keep: number;
  /** Oldest first. */
  readonly #reports = new Map<string, MigrationReport>();

  constructor(stateDirectory: string, keep: number) {
    this.#directory = join(stateDirectory, 'migrations');
    this.#keep = keep;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  /** Reads what is there; returns the paths that could not be read. */
  load(): string[] {
    const damaged: string[] = [];
    const found: MigrationReport[] = [];
    for (const id of readdirSync(this.#directory)) {
      const path = join(this.#directory, id, 'report.json');
      try {
        found.push(parseStoredReport(readFileSync(path, 'utf8')));
      } catch (error) {
        // No report yet: the migration was cut off; its journal is the engine's business.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') damaged.push(path);
      }
    }
    found.sort((a, b) => a.startedAt - b.startedAt);
    for (const report of found) this.#reports.set(report.id, report);
    this.#prune();
    return damaged;
  }

  save(report: MigrationReport): void {
    this.#reports.delete(report.id);
    this.#reports.set(report.id, report);
    if (SAFE_ID.test(report.id)) {
      mkdirSync(join(this.#directory, report.id), { recursive: true, mode: 0o700 });
      writeFileAtomically(join(this.#directory, report.id, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
    }
    this.#prune();
  }

  get(id: string): MigrationReport | undefined {
    return this.#reports.get(id);
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

  #prune(): void {
    for (const id of this.#reports.keys()) {
      if (this.#reports.size <= this.#keep) return;
      this.#reports.delete(id);
      if (SAFE_ID.test(id)) rmSync(join(this.#directory, id), { recursive: true, force: true });
    }
  }
}
