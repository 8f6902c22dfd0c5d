/**
 * The secret that the hosts of a fleet have in common, and its controllers where hosts register.
 *
 * Must hold: what is made of it for one purpose says nothing of it, or of what is made for another.
 */
import { hash } from 'node:crypto';
import { readSecret } from './text-file.ts';

const LEAST_CHARACTERS = 32;

/** Hexadecimal. @param text - what the key file holds */
export function fleetKeyOf(text: string): string {
  return hash('sha256', `godwit fleet key\n${text}`);
}

/** The key of a file, hexadecimal. @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID */
export function readFleetKey(field: string, path: string): string {
  const fix = `put at least ${LEAST_CHARACTERS} characters into the file, such as \`openssl rand -hex 32\``;
  return fleetKeyOf(readSecret({ field, path, fix, leastCharacters: LEAST_CHARACTERS }));
}
