/**
 * What people write as YAML: config file, VM spec, fleet file.
 *
 * Must hold: what is none of it is said with the file and the reason, and an alias bomb costs nothing.
 */
import { parse } from 'yaml';
import { GodwitError } from '../base/errors.ts';

/** YAML, of which JSON is a part. @throws GW_INPUT_UNREADABLE naming the file and the line */
export function parseYaml(contents: string, path: string): unknown {
  try {
    return parse(contents, { maxAliasCount: 100 });
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    throw new GodwitError('GW_INPUT_UNREADABLE', { path, reason: `it is neither YAML nor JSON: ${reason}` });
  }
}
