import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { explain } from '../base/errors.ts';
import { ApiTokens, SINGLE_TOKEN } from './api-tokens.ts';
import { RIGHTS } from './right.ts';
import { digestOf } from './tokens-file.ts';

let directory: TempDirectory;
let path: string;
let told: string[];
beforeEach(() => {
  directory = new TempDirectory();
  path = directory.join('tokens.yaml');
  told = [];
});
afterEach(() => directory[Symbol.dispose]());

const entry = (name: string, rights: string): string =>
  `- {name: ${name}, sha256: "${digestOf(`token-of-${name}-0123`).toString('hex')}", rights: [${rights}]}\n`;

/** As an editor does it: another file takes the place of the old one. */
function replace(contents: string): void {
  writeFileSync(`${path}.new`, contents, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function open(token: string | null = null): ApiTokens {
  return new ApiTokens(
    { token, tokensFile: path },
    {
      onRenewed: (names) => told.push(`renewed: ${names.join(' ')}`),
      onUnusable: (error) => told.push(`unusable: ${explain(error)}`),
    },
  );
}

test('each token has the rights of its entry, the single one all, and another none', () => {
  replace(entry('ops', 'read, operate') + entry('eyes', 'read'));
  const tokens = open('the-single-token-0123');
  expect(tokens.holderOf('token-of-ops-0123')).toEqual({ name: 'ops', rights: ['read', 'operate'] });
  expect(tokens.holderOf('token-of-eyes-0123')).toEqual({ name: 'eyes', rights: ['read'] });
  expect(tokens.holderOf('the-single-token-0123')).toEqual({ name: SINGLE_TOKEN, rights: RIGHTS });
  expect(tokens.holderOf('token-of-none-0123')).toBeUndefined();
  // Who has read the file has no token.
  expect(tokens.holderOf(digestOf('token-of-ops-0123').toString('hex'))).toBeUndefined();
  expect(told).toEqual([]);
});

test('a file that was changed counts from the next token on', () => {
  replace(entry('ops', 'read'));
  const tokens = open();
  replace(entry('eyes', 'read'));
  expect(tokens.holderOf('token-of-ops-0123')).toBeUndefined();
  expect(tokens.holderOf('token-of-eyes-0123')).toEqual({ name: 'eyes', rights: ['read'] });
  expect(told).toEqual(['renewed: eyes']);
});

test.each([
  ['damaged', () => replace('- name: [')],
  ['removed', () => rmSync(path)],
  ['opened to others', () => chmodSync(path, 0o644)],
])('a file that was %s is told once, and the old tokens stay until there is a good one', (_what, spoil) => {
  replace(entry('ops', 'read'));
  const tokens = open();
  spoil();
  expect(tokens.holderOf('token-of-ops-0123')?.name).toBe('ops');
  expect(tokens.holderOf('token-of-ops-0123')?.name).toBe('ops');
  expect(told).toEqual([expect.stringMatching(/^unusable: /)]);
  replace(entry('eyes', 'read'));
  expect(tokens.holderOf('token-of-ops-0123')).toBeUndefined();
  expect(told).toEqual([expect.anything(), 'renewed: eyes']);
});

test('an entry with the token that may do everything is refused, at the start and later', () => {
  const token = 'token-of-ops-0123';
  replace(entry('ops', 'read'));
  expect(() => open(token)).toThrow('tokensFile[0]');
  replace(entry('other', 'read'));
  const tokens = open(token);
  replace(entry('ops', 'read'));
  tokens.look();
  expect(told).toEqual([expect.stringContaining('which may do everything')]);
  expect(tokens.holderOf(token)?.rights).toEqual(RIGHTS);
});

test('a file that cannot serve from the beginning is an error', () => {
  expect(() => open()).toThrow(expect.objectContaining({ code: 'GW_INPUT_UNREADABLE' }));
  replace('- name: [');
  expect(() => open()).toThrow(expect.objectContaining({ code: 'GW_INPUT_UNREADABLE' }));
});
