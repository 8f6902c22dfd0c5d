/**
 * Files that people write: config file, VM spec, fleet file.
 *
 * Must hold: what cannot be read is said with the file and the reason, and an alias bomb costs nothing.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { GodwitError } from '../base/errors.ts';

/** @param path - `-` for stdin @throws GW_INPUT_UNREADABLE */
export function readTextFile(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new GodwitError('GW_INPUT_UNREADABLE', { path, reason });
  }
}

/** YAML, of which JSON is a part. @throws GW_INPUT_UNREADABLE naming the file and the line */
export function parseYaml(contents: string, path: string): unknown {
  try {
    return parse(contents, { maxAliasCount: 100 });
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    throw new GodwitError('GW_INPUT_UNREADABLE', { path, reason: `it is neither YAML nor JSON: ${reason}` });
  }
}
