/** What the dashboard (web/) may be made of: it runs in a browser, and says nothing of the API that the API does not say. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type Import, readImports } from './support/imports.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
/** Code that browsers have: folders, or single files. */
const CODE = [
  'web',
  'src/base',
  'src/client/call.ts',
  'src/client/fleet-calls.ts',
  'src/client/host-calls.ts',
  'src/fleet/period.ts',
];
const TYPES = ['src/api', 'src/client', 'src/fleet', 'src/migration'];
const PACKAGES = ['react', 'react-dom', 'uplot'];
/** How it is built is no part of it. */
const BUILD = 'web/vite.config.ts';
const FEWEST_FILES = 20;

const files = globSync('web/**/*.{ts,tsx}', { cwd: ROOT, exclude: ['web/dist/**'] })
  .filter((path) => path !== BUILD && !path.endsWith('.test.ts'))
  .map(read);

test('it imports the API as types, pure code, and few packages', () => {
  expect(files.length).toBeGreaterThan(FEWEST_FILES);
  const astray = files.flatMap(({ path, imports }) =>
    imports.filter((each) => !isAllowed(each)).map(({ target }) => `${path} → ${target}`),
  );
  expect(astray).toEqual([]);
});

test('nothing of it needs more than a browser, over whatever imports', () => {
  const reached = new Set(files.map(({ path }) => path));
  const outside = new Set<string>();
  // A set that grows is gone through to its end.
  for (const path of reached) {
    for (const { target, relative, typeOnly } of read(path).imports) {
      if (!typeOnly) (relative ? reached : outside).add(target);
    }
  }
  expect(reached).toContain('src/client/event-stream-parser.ts');
  expect([...outside].filter((target) => !PACKAGES.includes(target))).toEqual([]);
});

function isAllowed({ target, relative, typeOnly }: Import): boolean {
  if (!relative) return PACKAGES.includes(target);
  const allowed = typeOnly ? [...CODE, ...TYPES] : CODE;
  return allowed.some((place) => target === place || target.startsWith(`${place}/`));
}

function read(path: string): { readonly path: string; readonly imports: readonly Import[] } {
  const isCode = /\.tsx?$/.test(path) && existsSync(ROOT + path);
  return { path, imports: isCode ? readImports(path, readFileSync(ROOT + path, 'utf8')) : [] };
}
