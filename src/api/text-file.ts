/**
 * Text that people put into files: settings and secrets.
 *
 * Must hold: what cannot be read is said with the file and the reason; a secret that is empty or too short is refused with field and fix.
 */
import { readFileSync } from 'node:fs';
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

export interface SecretFile {
  readonly field: string;
  readonly path: string;
  readonly fix: string;
  /** Default: 1. */
  readonly leastCharacters?: number;
}

/** Without the line's end. @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID */
export function readSecret({ field, path, fix, leastCharacters = 1 }: SecretFile): string {
  const secret = readTextFile(path).trim();
  if (secret.length >= leastCharacters) return secret;
  throw new GodwitError('GW_INPUT_INVALID', { field, value: path, fix });
}
