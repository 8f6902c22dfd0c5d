import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startCli } from '../../test/support/in-process-cli.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { ApiTokens } from '../api/api-tokens.ts';
import { parseTokens } from '../api/tokens-file.ts';

let directory: TempDirectory;
let path: string;
beforeEach(() => {
  directory = new TempDirectory();
  path = directory.join('tokens.yaml');
});
afterEach(() => directory[Symbol.dispose]());

const run = (...args: string[]) => startCli(['token', 'new', ...args]).finished;
const tokenIn = (text: string): string => /gwt_[\w-]{43}/.exec(text)![0];
const open = (): ApiTokens =>
  new ApiTokens({ token: null, tokensFile: path }, { onRenewed: () => undefined, onUnusable: () => undefined });

test('a token is shown once, with the entry that knows it', async () => {
  const { status, out } = await run('ops', '--rights', 'read,operate');
  expect(status).toBe(0);
  const entry = out.slice(out.indexOf('- name:'));
  expect(entry).not.toContain(tokenIn(out));
  writeFileSync(path, entry, { mode: 0o600 });
  expect(open().holderOf(tokenIn(out))).toEqual({ name: 'ops', rights: ['read', 'operate'] });
});

test('--file adds the entry, keeps what is there, and makes a file for its owner alone', async () => {
  const first = await run('ops', '--rights', 'read, operate', '--file', path);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  writeFileSync(path, `# whose are they?\n${readFileSync(path, 'utf8').trimEnd()}`);
  const { token } = JSON.parse((await run('b', '--rights', 'migrate-send', '--file', path, '--json')).out);
  expect(readFileSync(path, 'utf8')).toContain('# whose are they?');
  const tokens = open();
  expect(tokens.holderOf(tokenIn(first.out))?.rights).toEqual(['read', 'operate']);
  expect(tokens.holderOf(token)).toEqual({ name: 'b', rights: ['migrate-send'] });
});

test.each([
  ['an unknown right', ['ops', '--rights', 'read,write'], '', '--rights: '],
  ['no right', ['ops', '--rights', ''], '', '--rights: '],
  ['a name that is none', ['a b', '--rights', 'read'], '', 'NAME: '],
  [
    'a name that is there',
    ['ops', '--rights', 'read'],
    '- {name: ops, token: 0123456789abcdef, rights: [read]}',
    'ops',
  ],
  ['a list in brackets', ['b', '--rights', 'read'], '[{name: a, token: 0123456789abcdef, rights: [read]}]', 'brackets'],
])('%s is refused, and the file stays as it is', async (_what, args, contents, told) => {
  writeFileSync(path, contents, { mode: 0o600 });
  const { status, err, out } = await run(...args, '--file', path);
  expect(status).toBe(2);
  expect(err).toContain(told);
  expect(out).toBe('');
  expect(readFileSync(path, 'utf8')).toBe(contents);
});

test('nothing is added to a file that others can read', async () => {
  writeFileSync(path, '', { mode: 0o600 });
  chmodSync(path, 0o644);
  const { status, err } = await run('ops', '--rights', 'read', '--file', path);
  expect(status).toBe(2);
  expect(err).toContain('chmod 600');
  expect(parseTokens(readFileSync(path, 'utf8'), path, 'file')).toEqual([]);
});
