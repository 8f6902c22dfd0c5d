/**
 * The arrows of the design: which folder of src/ may import which, and who may touch the world outside.
 */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type Import, readImports } from './support/imports.ts';

interface Arrows {
  /** Folders of src/, or single files. */
  readonly from: readonly string[];
  /** These with `import type` only. */
  readonly types?: readonly string[];
}

/** The words of a migration, pure: the API and its users speak in them. */
const WORDS = 'migration/request.ts';

/** What a migration is predicted with, pure: the planner predicts with the same (a test below follows its imports). */
const MODEL = [
  'migration/dirty-curve.ts',
  'migration/dirty-estimate.ts',
  'migration/forecast.ts',
  'migration/history.ts',
  'migration/known-links.ts',
  'migration/prediction.ts',
  WORDS,
];

/** The folder `.` is src/ itself. */
const ARROWS: Readonly<Record<string, Arrows>> = {
  base: { from: [] },
  wire: { from: ['base'] },
  linux: { from: ['base'] },
  qemu: { from: ['base', 'linux'] },
  memory: { from: ['base', 'linux'] },
  network: { from: ['base', 'linux', 'qemu'] },
  tls: { from: ['base', 'linux', 'wire'] },
  transfer: { from: ['base', 'linux', 'wire', 'memory', 'tls'] },
  migration: { from: ['base', 'linux', 'qemu', 'wire', 'memory', 'network', 'storage', 'tls', 'transfer'] },
  sharing: { from: ['base', 'linux', 'qemu', 'wire', 'memory', 'transfer', 'migration'] },
  upgrade: { from: ['base', 'linux', 'qemu', 'network', 'migration'] },
  storage: { from: ['base', 'linux', 'qemu', 'wire', 'tls', 'transfer'] },
  fleet: { from: ['base', ...MODEL] },
  api: { from: ['base', WORDS], types: ['migration'] },
  nats: { from: ['base', 'api'] },
  client: { from: ['base', 'api'], types: ['migration'] },
  host: {
    from: [
      ...[
        'base',
        'linux',
        'qemu',
        'wire',
        'memory',
        'network',
        'storage',
        'tls',
        'transfer',
        'migration',
        'sharing',
        'fleet',
        'upgrade',
      ],
      'api',
      'nats',
    ],
  },
  controller: {
    // What any daemon has: its log, its state directory to itself, ids by their beginning.
    from: [
      ...['base', 'fleet', 'api', 'client', 'nats', ...MODEL],
      ...[
        'host/atomic-file.ts',
        'host/audit-log.ts',
        'host/logger.ts',
        'host/migration-id.ts',
        'host/served-api.ts',
        'host/state-lock.ts',
      ],
    ],
    types: ['migration'],
  },
  cli: {
    from: [
      'base',
      'fleet',
      'api',
      'client',
      'controller',
      WORDS,
      'host/run-host.ts',
      'host/doctor.ts',
      'storage/nbd/run-disk-server.ts',
      'tls/authority.ts',
    ],
    types: ['migration'],
  },
  '.': { from: ['base', 'fleet', 'api', 'client', ...MODEL], types: ['migration'] },
};

/** Folders that import neither packages nor node's modules, but for those named. */
const PURE: Readonly<Record<string, readonly string[]>> = { base: [], wire: ['zod'], fleet: [] };

/** The protocol of shared pages: it is explored exhaustively, so it may not know of anything that the model does not. */
const REGION_PROTOCOL = [
  'sharing/page-table.ts',
  'sharing/page-turn.ts',
  'sharing/region-destination.ts',
  'sharing/region-source.ts',
  'sharing/region-tally.ts',
  'sharing/region-words.ts',
  'sharing/source-vms.ts',
];

/** Who may use what reaches outside; what is not named here is free where the folder is not pure. */
const RESERVED: Readonly<Record<string, readonly string[]>> = {
  koffi: ['linux/raw.ts'],
  'node:child_process': ['linux', 'qemu'],
  'node:worker_threads': ['linux', 'tls', 'transfer', 'migration', 'sharing', 'storage', 'upgrade'],
  'node:net': ['api', 'network', 'qemu', 'tls', 'transfer', 'migration', 'storage'],
  'node:tls': ['storage', 'tls'],
  '@peculiar/x509': ['tls'],
  'reflect-metadata': ['tls'],
  'node:http': ['api', 'client', 'host', 'controller'],
  'node:sqlite': ['controller'],
  '@nats-io/jetstream': ['controller', 'nats', 'host/fleet-beacon.ts'],
  '@nats-io/kv': ['controller', 'nats', 'host/fleet-beacon.ts'],
  '@nats-io/transport-node': ['nats', 'controller/nats-store.ts', 'host/fleet-beacon.ts'],
  fastify: ['api'],
  'fastify-type-provider-zod': ['api'],
  '@fastify/swagger': ['api'],
  undici: ['client'],
  pino: ['host'],
  'prom-client': ['host'],
  commander: ['cli'],
  'cli-progress': ['cli'],
};

/** Far fewer than there are: a search that finds nothing must not pass. */
const FEWEST_FILES = 100;
const FEWEST_IMPORTS = 400;

const source = fileURLToPath(new URL('../src/', import.meta.url));
const files = globSync('**/*.ts', { cwd: source })
  .filter((path) => !path.endsWith('.test.ts'))
  .map((path) => ({ path, imports: readImports(path, readFileSync(source + path, 'utf8')) }));

test('the search sees the tree', () => {
  expect(files.length).toBeGreaterThan(FEWEST_FILES);
  expect(files.flatMap(({ imports }) => imports).length).toBeGreaterThan(FEWEST_IMPORTS);
  expect([...new Set(files.map(({ path }) => folderOf(path)))].sort()).toEqual(Object.keys(ARROWS).sort());
});

test('every import follows an arrow of the design', () => {
  const astray = eachImport(({ path, target, relative, typeOnly }) => {
    const { from, types = [] } = ARROWS[folderOf(path)] ?? { from: [] };
    return !relative || folderOf(path) === folderOf(target) || isIn(typeOnly ? [...from, ...types] : from, target);
  });
  expect(astray).toEqual([]);
});

test('pure folders import nothing from outside', () => {
  const impure = eachImport(({ path, target, relative }) => {
    const allowed = PURE[folderOf(path)];
    return relative || allowed === undefined || allowed.includes(target);
  });
  expect(impure).toEqual([]);
});

test('the planner reaches nothing impure, over whatever imports', () => {
  const reached = new Set(files.map(({ path }) => path).filter((path) => folderOf(path) === 'fleet'));
  const outside = new Set<string>();
  // A set that grows is gone through to its end.
  for (const path of reached) {
    for (const { target, relative, typeOnly } of files.find((file) => file.path === path)?.imports ?? []) {
      if (!typeOnly) (relative ? reached : outside).add(target);
    }
  }
  expect(reached).toContain('migration/convergence.ts');
  expect([...outside]).toEqual([]);
  expect([...reached].filter((path) => !['base', 'fleet', 'migration'].includes(folderOf(path)))).toEqual([]);
});

test('the protocol of shared pages imports nothing but itself and base', () => {
  expect(files.map(({ path }) => path).filter((path) => REGION_PROTOCOL.includes(path))).toHaveLength(
    REGION_PROTOCOL.length,
  );
  const astray = eachImport(
    ({ path, target }) => !REGION_PROTOCOL.includes(path) || isIn(['base', ...REGION_PROTOCOL], target),
  );
  expect(astray).toEqual([]);
});

test('what reaches outside is used only where it may be', () => {
  const trespassing = eachImport(({ path, target, relative }) => {
    const allowed = relative ? undefined : RESERVED[target];
    return allowed === undefined || isIn(allowed, path);
  });
  expect(trespassing).toEqual([]);
});

test('the reader finds every form of import, and no comment', () => {
  const text = [
    "import { a } from './a.ts';",
    "import type { B } from '../wire/b.ts';",
    'import {\n  c,\n  type D,\n} from "./never.ts";',
    "import {\n  c,\n  type D,\n} from '../memory/c.ts';",
    "export type { E } from './e.ts';",
    "export * from './f.ts';",
    "import './g.ts';",
    "import * as fs from 'node:fs';",
    "import undici, { type Pool } from 'undici/pool';",
    "const h = await import('../api/h.ts');",
    "// import { x } from './x.ts';",
    " * import { y } from 'godwit';",
    "/* import { z } from './z.ts'; */",
    "export const name = 'value';",
  ].join('\n');
  expect(readImports('linux/file.ts', text).map(({ target, typeOnly }) => [target, typeOnly])).toEqual([
    ['linux/a.ts', false],
    ['wire/b.ts', true],
    ['memory/c.ts', false],
    ['linux/e.ts', true],
    ['linux/f.ts', false],
    ['linux/g.ts', false],
    ['node:fs', false],
    ['undici', false],
    ['api/h.ts', false],
  ]);
});

/** The imports for which the rule does not hold, as text. */
function eachImport(isAllowed: (each: Import & { readonly path: string }) => boolean): string[] {
  return files.flatMap(({ path, imports }) =>
    imports.filter((each) => !isAllowed({ ...each, path })).map(({ target }) => `${path} → ${target}`),
  );
}

function folderOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : '.';
}

function isIn(places: readonly string[], path: string): boolean {
  return places.includes(folderOf(path)) || places.includes(path);
}
