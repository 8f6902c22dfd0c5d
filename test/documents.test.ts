/** What the documents say of the code, where a program can tell. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ReportSchema } from '../src/api/migration-schema.ts';
import { fieldTable } from './support/generated-docs.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
/** How many mechanisms each letter has. */
const MECHANISMS = { V: 9, S: 7, M: 4, R: 7, B: 9, G: 8 } as const;
const IDS = Object.entries(MECHANISMS).flatMap(([letter, count]) =>
  Array.from({ length: count }, (_, index) => `${letter}${index + 1}`),
);

describe('the requirements', () => {
  const rows = tableRows('docs/requirements.md').filter(([id]) => /^[VSMRBG]\d$/.test(id!));

  test('are all there, in order, in both documents', () => {
    expect(rows.map(([id]) => id)).toEqual(IDS);
    expect(readmeStates().map(([id]) => id)).toEqual(IDS);
  });

  test('have the same state in README.md', () => {
    expect(readmeStates()).toEqual(rows.map(([id, state]) => [id, state]));
  });

  test('that are there name their place and their test, others none', () => {
    const wrong = rows.filter(([, state, , where, shown]) => (state === 'not yet') !== (where === '' && shown === ''));
    expect(wrong).toEqual([]);
    expect(rows.filter(([, state]) => !['works', 'partly', 'not yet'].includes(state!))).toEqual([]);
  });

  test('name files that exist', () => {
    const paths = rows.flatMap(([, , , where, shown]) =>
      [...`${where} ${shown}`.matchAll(/`([^`]+)`/g)].map((m) => m[1]!),
    );
    expect(paths.length).toBeGreaterThan(50);
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});

test('docs/report.md explains every field of the report, in its order, and no other', () => {
  // What is in an error is described where errors are.
  const fields = fieldsIn(fieldTable(ReportSchema, 'output')).filter((field) => !field.startsWith('error.'));
  expect(fields.length).toBeGreaterThan(40);
  expect(fieldsIn(read('docs/report.md'))).toEqual(fields);
});

test('links in documents lead to files that exist', () => {
  const files = [...globSync('*.md', { cwd: ROOT }), ...globSync('{docs,guest,bench}/**/*.md', { cwd: ROOT })];
  const links = files.flatMap((file) =>
    [...read(file).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map((match) => ({ file, link: match[1]! })),
  );
  expect(links.length).toBeGreaterThan(10);
  const dead = links.filter(({ file, link }) => !link.includes('://') && !existsSync(join(ROOT, dirname(file), link)));
  expect(dead).toEqual([]);
});

/** Id and first words of the state. */
function readmeStates(): string[][] {
  return tableRows('README.md')
    .filter(([id]) => /^[VSMRBG]\d$/.test(id!))
    .map(([id, , state]) => [id!, state!.split(':')[0]!]);
}

/** The first cells of all tables in a text, as far as they are code. */
function fieldsIn(text: string): string[] {
  return rowsIn(text).flatMap(([cell]) => /^`([^`]+)`$/.exec(cell!)?.[1] ?? []);
}

function tableRows(file: string): string[][] {
  return rowsIn(read(file));
}

function rowsIn(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}
