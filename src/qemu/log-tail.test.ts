import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { inOneLine, logSize, readLogTail } from './log-tail.ts';

const directory = mkdtempSync(join(tmpdir(), 'godwit-log-'));
const path = join(directory, 'log');
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('only what came after the mark is read', () => {
  writeFileSync(path, 'old failure\n');
  const mark = logSize(path);
  writeFileSync(path, 'old failure\nqemu-system-x86_64: -foo: invalid option\n');
  expect(readLogTail(path, mark)).toBe('-foo: invalid option');
  expect(readLogTail(path, logSize(path))).toBe('');
});

test('there may be no log', () => {
  expect(readLogTail(join(directory, 'absent'), 0)).toBe('');
});

test('a long log is shortened from the front', () => {
  const lines = Array.from({ length: 5000 }, (_, line) => `line ${line}`);
  expect(inOneLine(lines.join('\n'))).toBe(lines.slice(-8).join(' / '));
  writeFileSync(path, lines.join('\n'));
  expect(readLogTail(path, 0)).toMatch(/line 4998 \/ line 4999$/);
});
