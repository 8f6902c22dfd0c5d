/**
 * Bundles godwit into plain JavaScript: `node scripts/build-program.ts DIRECTORY`.
 *
 * Every command, daemon and thread loads its modules anew, and Node takes a third of a millisecond for each file: out of a few
 * large files all of them start in half the time. Owns: what becomes a file of its own (whatever a process or a thread
 * begins with, see src/base/program-file.ts, and the library), and which packages are built in: those that a thread loads.
 * Must hold: with the text of a package goes its licence.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

/** With what only they depend on. */
const BUILT_IN = ['commander', 'fastify-type-provider-zod', 'yaml', 'zod'];
const ENTRIES = [
  'src/index.ts',
  'src/cli/bin.ts',
  'src/linux/ptrace-throttle-child.ts',
  'src/migration/page-server.ts',
  'src/storage/vm-disks/disk-server-main.ts',
  ...globSync('src/*/*-worker.ts'),
];
/** These npm installs beside the package. */
const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> };
const LOADED = new Set(Object.keys(dependencies).filter((name) => !BUILT_IN.includes(name)));
const PROGRAM_FILE = /src\/base\/program-file\.ts$/;

const [directory] = process.argv.slice(2);
if (directory === undefined) {
  console.error('usage: node scripts/build-program.ts DIRECTORY');
  process.exit(2);
}

const packageOf = (path: string): string => /^(?:@[^/]+\/)?[^/]+/.exec(path)![0];
const bundle = await rolldown({
  input: Object.fromEntries(ENTRIES.map((path) => [path.slice('src/'.length, -'.ts'.length), path])),
  platform: 'node',
  external: (id) => !/^[./]/.test(id) && LOADED.has(packageOf(id)),
});
const { output } = await bundle.write({
  dir: directory,
  format: 'esm',
  // Names that stay the same: compiled code is kept by them.
  entryFileNames: '[name].js',
  chunkFileNames: 'chunks/[name].js',
  sourcemap: true,
  codeSplitting: { groups: [{ name: 'program-file', test: PROGRAM_FILE }] },
});
await bundle.close();

const texts = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
const builtIn = new Set(texts.flatMap((path) => /.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []));
const licences = [...builtIn].sort().map((path) => {
  const { name, version } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as Record<string, string>;
  const [file] = globSync('LICEN[CS]E*', { cwd: path });
  if (file === undefined) throw new Error(`${path} has no file with its licence`);
  return `${name} ${version}\n\n${readFileSync(join(path, file), 'utf8').trim()}\n`;
});
writeFileSync(join(directory, 'LICENSES.txt'), licences.join(`\n${'-'.repeat(72)}\n\n`));
