import { expect, test } from 'vitest';
import { findOffences, MAX_LINES } from './source-rules.ts';

const HEADER = '/** A file. */\n';
const problems = (path: string, text: string): string[] =>
  findOffences({ path, text }).map(({ line, problem }) => `${line}: ${problem}`);

test('a file with a header and nothing wrong has no offences', () => {
  expect(problems('src/base/page.ts', HEADER)).toEqual([]);
});

test.each([
  'src/base/utils.ts',
  'src/utils/page.ts',
  'src/qemu/types.ts',
  'test/support/helpers.ts',
  'src/x/common.test.ts',
])('%s has a forbidden name', (path) => {
  expect(problems(path, HEADER)).toEqual([expect.stringContaining('says nothing')]);
});

test('a name that only contains a forbidden word is allowed', () => {
  expect(problems('src/wire/frame-types.ts', HEADER)).toEqual([]);
});

test('a file of the longest length passes, one line more does not, tests may be longer', () => {
  const longest = HEADER + 'x;\n'.repeat(MAX_LINES - 1);
  expect(problems('src/a.ts', longest)).toEqual([]);
  expect(problems('src/a.ts', `${longest}x;\n`)).toEqual([expect.stringContaining('251 lines')]);
  expect(problems('src/a.test.ts', `${longest}x;\n`)).toEqual([]);
});

test('a source file needs a header, a test does not', () => {
  expect(problems('src/a.ts', 'import "x";\n')).toEqual([expect.stringContaining('without a header')]);
  expect(problems('src/a.test.ts', 'import "x";\n')).toEqual([]);
});

test.each([
  ['right above', '// SAFETY: no memory.\nraw.close(fd);\n'],
  [
    'above a statement of several lines',
    '// SAFETY: no memory,\n// does not block.\nconst a = retry(() =>\n  raw.close(fd),\n);\n',
  ],
  ['for two calls', '// SAFETY: no memory.\nraw.close(a);\nraw.close(b);\n'],
])('a raw call is fine with its comment %s', (_, text) => {
  expect(problems('src/linux/a.ts', HEADER + text)).toEqual([]);
});

test.each([
  ['no comment', 'raw.close(fd);\n', 2],
  ['another comment', '// Closes it.\nraw.close(fd);\n', 3],
  ['a comment of the block before', 'if (x) {\n  // SAFETY: no memory.\n  raw.close(a);\n}\nraw.close(b);\n', 6],
  ['a comment beyond an empty line', '// SAFETY: no memory.\nraw.close(a);\n\nraw.close(b);\n', 5],
])('a raw call with %s is an offence', (_, text, line) => {
  expect(problems('src/linux/a.ts', HEADER + text)).toEqual([expect.stringMatching(`^${line}: a raw call`)]);
});

test('raw.ts itself, other folders and comments are not looked at for raw calls', () => {
  expect(problems('src/linux/raw.ts', `${HEADER}raw.close(fd);\n`)).toEqual([]);
  expect(problems('src/qemu/a.ts', `${HEADER}raw.close(fd);\n`)).toEqual([]);
  expect(problems('src/linux/a.ts', `${HEADER}// then raw.close(fd) is called\n`)).toEqual([]);
});
