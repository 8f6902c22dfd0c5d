/**
 * What a host knows of its links to other hosts, in a file of its state directory.
 *
 * Must hold: a damaged or missing file is knowing nothing, never a failed migration. Of two migrations that end at the
 * same moment one may be forgotten: it is experience, no record.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { addVisit, type KnownLinks, parseLinks, type Visit } from './known-links.ts';

export function linksPathIn(stateDirectory: string): string {
  return join(stateDirectory, 'links.json');
}

export function readVisits(path: string, to: string): readonly Visit[] {
  return readLinks(path)[to] ?? [];
}

export function rememberVisit(path: string, to: string, visit: Visit): void {
  // A name for each thread: two that end at the same moment must not write into one file.
  const temporary = `${path}.${process.pid}-${threadId}.new`;
  writeFileSync(temporary, JSON.stringify(addVisit(readLinks(path), to, visit)));
  renameSync(temporary, path);
}

/** By the address that was migrated to. */
export function readLinks(path: string): KnownLinks {
  if (!existsSync(path)) return {};
  try {
    return parseLinks(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
