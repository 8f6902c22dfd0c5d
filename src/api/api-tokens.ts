/**
 * The tokens of one API, renewed while it is served.
 *
 * Owns: the newest entries that could be used. Must hold: the file is looked at for each token that is given, so that a change needs
 * no restart; a file that cannot be used is told once and the old tokens stay; how long a comparison takes says nothing of a token.
 */
import { timingSafeEqual } from 'node:crypto';
import { statSync } from 'node:fs';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import type { TokenHolder } from './access.ts';
import { RIGHTS } from './right.ts';
import { digestOf, readTokensFile, type TokenEntry } from './tokens-file.ts';

/** In the place of a name; no entry can have it. */
export const SINGLE_TOKEN = '(tokenFile)';

/** Where tokens come from. */
export interface TokenSources {
  /** Has all rights; null: there is none. */
  readonly token: string | null;
  /** Path; null: there is none. */
  readonly tokensFile: string | null;
}

export interface ApiTokensPort {
  /** Others count from now on. @param names - whose */
  onRenewed(names: readonly string[]): void;
  /** The file has changed and cannot serve. */
  onUnusable(error: GodwitError): void;
}

export class ApiTokens {
  readonly #single: readonly TokenEntry[];
  readonly #path: string | null;
  readonly #port: ApiTokensPort;
  /** Of the file that was loaded, or could not be. */
  #seen: string;
  #listed: readonly TokenEntry[];

  /** @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID */
  constructor({ token, tokensFile }: TokenSources, port: ApiTokensPort) {
    this.#single = token === null ? [] : [{ name: SINGLE_TOKEN, digest: digestOf(token), rights: RIGHTS }];
    this.#path = tokensFile;
    this.#port = port;
    // Before it is read: what is written meanwhile is another look's.
    this.#seen = this.#facts();
    this.#listed = tokensFile === null ? [] : this.#read(tokensFile);
  }

  /** undefined: it is nobody's. */
  holderOf(token: string): TokenHolder | undefined {
    const digest = digestOf(token);
    this.look();
    // All are compared, whichever it is.
    const [entry] = [...this.#single, ...this.#listed].filter((each) => timingSafeEqual(each.digest, digest));
    return entry && { name: entry.name, rights: entry.rights };
  }

  /** Whether the file is another by now. */
  look(): void {
    const seen = this.#facts();
    if (this.#path === null || seen === this.#seen) return;
    this.#seen = seen;
    this.#renew(this.#path);
  }

  #renew(path: string): void {
    try {
      this.#listed = this.#read(path);
    } catch (error) {
      this.#port.onUnusable(asGodwitError(error));
      return;
    }
    this.#port.onRenewed(this.#listed.map(({ name }) => name));
  }

  /** @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID also where an entry has the token that may do everything */
  #read(path: string): TokenEntry[] {
    const entries = readTokensFile(path, 'tokensFile');
    const [single] = this.#single;
    const index = entries.findIndex(({ digest }) => single && timingSafeEqual(digest, single.digest));
    if (index < 0) return entries;
    const fix = 'it has the token of tokenFile or GODWIT_TOKEN, which may do everything: give it another one';
    throw new GodwitError('GW_INPUT_INVALID', { field: `tokensFile[${index}]`, value: path, fix });
  }

  /** Differs where the file was written, replaced or removed, or got another mode, or can be looked at no more. */
  #facts(): string {
    if (this.#path === null) return '';
    try {
      const { ino, ctimeMs, size, mode } = statSync(this.#path);
      return `${ino}:${ctimeMs}:${size}:${mode}`;
    } catch (error) {
      // Reading it says so, once.
      return (error as NodeJS.ErrnoException).code ?? 'unknown';
    }
  }
}
