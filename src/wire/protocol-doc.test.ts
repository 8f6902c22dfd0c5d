/** docs/protocol.md says what the code does: frames, fields, limits. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FRAMES } from './frame-types.ts';
import * as limits from './limits.ts';
import { MESSAGES } from './messages.ts';

const DOCUMENT = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');

/** The cells of every table row below a heading, without header and ruler. */
function rows(heading: string): string[][] {
  const section = DOCUMENT.split(`\n## ${heading}\n`)[1]!.split('\n## ')[0]!;
  return section
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

test('the frame table', () => {
  const documented = rows('Frames').filter((cells) => cells.length === 6 && /^\d+$/.test(cells[0]!));
  const coded = Object.entries(FRAMES).map(([name, row]) => [
    String(row.code),
    name,
    row.payload,
    row.sender,
    `${row.minBytes}–${row.maxBytes}`,
  ]);
  expect(documented.map((cells) => cells.slice(0, 5))).toEqual(coded);
  expect(documented.every((cells) => cells[5] !== '')).toBe(true);
});

test('the fields of every message', () => {
  const documented = rows('Control messages')
    .slice(2)
    .map(([name, fields]) => [name, [...fields!.matchAll(/`(\w+)`/g)].map((match) => match[1])]);
  const coded = Object.entries(MESSAGES).map(([name, schema]) => [
    name,
    Object.keys((schema as { shape?: object }).shape ?? {}),
  ]);
  expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(coded));
});

test('the limits', () => {
  const documented = rows('Limits')
    .slice(2)
    .map(([name, value]) => [name!.replaceAll('`', ''), Number(value)]);
  expect(Object.fromEntries(documented)).toEqual({ ...limits });
});
