import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { GodwitError } from '../base/errors.ts';
import { addEntry, digestOf, parseTokens, readTokensFile } from './tokens-file.ts';

const TOKEN = 'a-token-of-some-length';
const SHA256 = digestOf(TOKEN).toString('hex');
const parse = (contents: string) => parseTokens(contents, '/etc/tokens.yaml', 'tokensFile');

function refusal(action: () => unknown): GodwitError {
  try {
    action();
  } catch (error) {
    if (error instanceof GodwitError) return error;
  }
  throw new Error('Nothing was refused');
}

test('a token counts the same by itself and by its digest', () => {
  const [plain] = parse(`[{name: ops, token: ${TOKEN}, rights: [read, operate]}]`);
  const [hashed] = parse(`- name: ops\n  sha256: "${SHA256.toUpperCase()}"\n  rights: [read, operate, read]\n`);
  expect(plain).toEqual(hashed);
  expect(plain).toEqual({ name: 'ops', digest: digestOf(TOKEN), rights: ['read', 'operate'] });
});

test('a file without entries is one without tokens', () => {
  expect(parse('# nobody yet\n')).toEqual([]);
});

test.each([
  ['no list', `{ops: ${TOKEN}}`, 'tokensFile', 'give a list of'],
  ['a token that is too short', '[{name: a, token: secret-short, rights: [read]}]', 'tokensFile[0].token', '16'],
  ['a digest that is none', '[{name: a, sha256: secret-digest, rights: [read]}]', 'tokensFile[0].sha256', '64'],
  ['an unknown field', `[{name: a, tokken: ${TOKEN}, rights: [read]}]`, 'tokensFile[0]', 'remove it'],
  ['an unknown right', `[{name: a, token: ${TOKEN}, rights: [write]}]`, 'tokensFile[0].rights[0]', 'migrate-send'],
  ['no right', `[{name: a, token: ${TOKEN}, rights: []}]`, 'tokensFile[0].rights', 'migrate-send'],
  ['neither', '[{name: a, rights: [read]}]', 'tokensFile[0]', 'either sha256 or token'],
  ['both', `[{name: a, token: ${TOKEN}, sha256: ${SHA256}, rights: [read]}]`, 'tokensFile[0]', 'either'],
  [
    'a name twice',
    `[{name: a, token: ${TOKEN}, rights: [read]}, {name: a, token: ${TOKEN}2, rights: [read]}]`,
    'tokensFile[1].name',
    'each name once',
  ],
  [
    'a token twice',
    `[{name: a, token: ${TOKEN}, rights: [read]}, {name: b, sha256: ${SHA256}, rights: [operate]}]`,
    'tokensFile[1]',
    'the token of a',
  ],
])('%s is refused with the entry and the fix, and without the token', (_what, contents, field, fix) => {
  const error = refusal(() => parse(contents));
  expect(error).toMatchObject({ code: 'GW_INPUT_INVALID', details: { field, fix: expect.stringContaining(fix) } });
  expect(JSON.stringify(error.toBody())).not.toMatch(/a-token-of|secret-/);
});

test('a file that others can read or write is refused with what to do', () => {
  using directory = new TempDirectory();
  const path = directory.join('tokens.yaml');
  writeFileSync(path, `[{name: a, token: ${TOKEN}, rights: [read]}]`, { mode: 0o600 });
  expect(readTokensFile(path, 'tokensFile')).toHaveLength(1);
  for (const mode of [0o640, 0o604, 0o620, 0o602]) {
    chmodSync(path, mode);
    expect(refusal(() => readTokensFile(path, 'tokensFile')).message).toContain(`chmod 600 ${path}`);
  }
  expect(refusal(() => readTokensFile(`${path}.none`, 'tokensFile')).code).toBe('GW_INPUT_UNREADABLE');
});

test('an empty file and what is no file are refused with what to do', () => {
  using directory = new TempDirectory();
  const path = directory.join('tokens.yaml');
  writeFileSync(path, '', { mode: 0o600 });
  expect(refusal(() => readTokensFile(path, 'tokensFile')).message).toContain('write []');
  addEntry(path, { name: 'a', digest: digestOf(TOKEN), rights: ['read'] }, 'tokensFile');
  expect(readTokensFile(path, 'tokensFile')).toHaveLength(1);
  const other = directory.join('other');
  mkdirSync(other, { mode: 0o700 });
  expect(refusal(() => readTokensFile(other, 'tokensFile')).message).toContain('it is no file');
  const pipe = directory.join('pipe');
  execFileSync('mkfifo', ['-m', '600', pipe]);
  expect(refusal(() => readTokensFile(pipe, 'tokensFile')).message).toContain('it is no file');
});

test.runIf(process.geteuid?.() === 0)('a file of another user is refused with what to do', () => {
  using directory = new TempDirectory();
  const path = directory.join('tokens.yaml');
  writeFileSync(path, `[{name: a, token: ${TOKEN}, rights: [read]}]`, { mode: 0o600 });
  chownSync(path, 65_534, 65_534);
  expect(refusal(() => readTokensFile(path, 'tokensFile')).message).toContain(`chown 0 ${path}`);
});
