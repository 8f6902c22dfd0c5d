/**
 * The file of an API's tokens (`tokensFile`): who has one, and what he may do with it.
 *
 * Owns: its form. Must hold: a file that others own, can read or can write is not taken; two entries are never one name or one token, so
 * that what a token did can be told from the audit log; what is refused is said with the entry, never with the token.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, closeSync, constants, existsSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { GodwitError } from '../base/errors.ts';
import { choice, strictObject, text } from './field.ts';
import { RIGHTS, type Right } from './right.ts';
import { NameSchema } from './vm-schema.ts';
import { parseYaml } from './yaml-file.ts';

export const LEAST_TOKEN_CHARACTERS = 16;

/** Of group and others (inode(7)). */
const OTHERS = 0o077;
const DIGEST_FIX = 'give the 64 hexadecimal digits of the SHA-256 of a token (`godwit token new NAME` makes both)';
const RIGHTS_FIX = `give a list of ${RIGHTS.join(', ')}`;
const TOKEN_FIX = `give at least ${LEAST_TOKEN_CHARACTERS} characters, or sha256 in its place (\`godwit token new NAME\` makes both)`;

const EntrySchema = strictObject({
  name: NameSchema.describe('Who has the token: the audit log and refusals name him so.'),
  sha256: text(DIGEST_FIX)
    .regex(/^[0-9a-fA-F]{64}$/, { error: DIGEST_FIX })
    .optional()
    .describe('SHA-256 of the token, in hexadecimal; so the file holds no secret.'),
  token: text(TOKEN_FIX).min(LEAST_TOKEN_CHARACTERS, { error: TOKEN_FIX }).optional().describe('Or the token itself.'),
  rights: z
    .array(choice(RIGHTS), { error: RIGHTS_FIX })
    .min(1, { error: RIGHTS_FIX })
    .describe('What it may do (docs/api.md says which route needs which).'),
});

export const TokensSchema = z.array(EntrySchema, { error: 'give a list of {name, sha256, rights}' });

/** One entry, with the token as its digest only. */
export interface TokenEntry {
  readonly name: string;
  readonly digest: Buffer;
  readonly rights: readonly Right[];
}

export function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** @param field - what names the file, such as `tokensFile` @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID */
export function readTokensFile(path: string, field: string): TokenEntry[] {
  const contents = readPrivateFile(path, field);
  // As it is for a moment where somebody writes it anew: nobody's token is taken away by that.
  if (contents === '')
    throw invalid(field, path, 'it is empty: write [] to have no tokens, or add one with `godwit token new`');
  return parseTokens(contents, path, field);
}

/** @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID */
export function parseTokens(contents: string, path: string, field: string): TokenEntry[] {
  // A file of comments only is one without tokens.
  const result = TokensSchema.safeParse(parseYaml(contents, path) ?? []);
  if (!result.success) throw refusalOf(result.error.issues[0]!, path, field);
  const entries: TokenEntry[] = [];
  for (const [index, { name, token, sha256, rights }] of result.data.entries()) {
    const at = `${field}[${index}]`;
    if ((token === undefined) === (sha256 === undefined)) throw invalid(at, path, 'give it either sha256 or token');
    const digest = token === undefined ? Buffer.from(sha256!, 'hex') : digestOf(token);
    if (entries.some((other) => other.name === name)) throw invalid(`${at}.name`, name, 'give each name once');
    const same = entries.find((other) => other.digest.equals(digest));
    if (same) throw invalid(at, path, `it has the token of ${same.name}: give each its own`);
    entries.push({ name, digest, rights: [...new Set(rights)] });
  }
  return entries;
}

/** As it stands in the file. */
export function formatEntry({ name, digest, rights }: TokenEntry): string {
  return `- name: ${name}\n  sha256: "${digest.toString('hex')}"\n  rights: [${rights.join(', ')}]\n`;
}

/**
 * Behind what is in the file, which stays as it is; a file that is not there is made.
 * @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID where the file cannot be used, or has the name
 */
export function addEntry(path: string, entry: TokenEntry, field: string): void {
  const before = existsSync(path) ? readPrivateFile(path, field) : '';
  if (parseTokens(before, path, field).some(({ name }) => name === entry.name)) {
    throw invalid(field, path, `it has a token of ${entry.name}: give another name, or take that entry out`);
  }
  const added = `${before === '' || before.endsWith('\n') ? '' : '\n'}${formatEntry(entry)}`;
  refuseOtherForm(`${before}${added}`, path, field);
  // In one piece, so that a daemon that looks just now sees all of it or nothing.
  appendFileSync(path, added, { mode: 0o600, flush: true });
}

/** YAML has lists in brackets, too, behind which nothing can be added. */
function refuseOtherForm(contents: string, path: string, field: string): void {
  try {
    parseTokens(contents, path, field);
  } catch (cause) {
    const fix = 'its list is in brackets: write it with a dash for each entry, or add the entry by hand';
    throw new GodwitError('GW_INPUT_INVALID', { field, value: path, fix }, { cause });
  }
}

/** With the file in the place of the value, which may be a token. */
function refusalOf({ path: keys, message }: z.core.$ZodIssue, path: string, field: string): GodwitError {
  const at = keys.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return invalid(`${field}${at}`, path, message);
}

function readPrivateFile(path: string, field: string): string {
  let fd: number;
  try {
    // What is no file is never waited for.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new GodwitError('GW_INPUT_UNREADABLE', { path, reason }, { cause });
  }
  try {
    const facts = fstatSync(fd);
    if (!facts.isFile()) throw invalid(field, path, 'it is no file: give the path of a file');
    const { mode, uid } = facts;
    const self = process.geteuid?.() ?? 0;
    if (uid !== 0 && uid !== self) throw invalid(field, path, `it is another user's: chown ${self} ${path}`);
    if ((mode & OTHERS) !== 0) throw invalid(field, path, `others can read or write it: chmod 600 ${path}`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}

function invalid(field: string, value: string, fix: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value, fix });
}
