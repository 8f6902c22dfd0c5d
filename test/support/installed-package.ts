/**
 * The package as npm would publish it, built from the sources of now and installed in a directory of its own.
 *
 * Must hold: beside it lie only the packages that it depends on, so that what it needs and does not name is missed.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TempDirectory } from './temp-directory.ts';

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url));
const MODULES = join(CHECKOUT, 'node_modules');

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

/** Returns the path of its bin/godwit. */
export function installPackage(directory: TempDirectory): string {
  const stage = directory.join('stage');
  const modules = directory.join('installed', 'node_modules');
  const run = (program: string, ...args: readonly string[]): void => {
    execFileSync(program, args, { cwd: stage, stdio: ['ignore', 'ignore', 'pipe'] });
  };
  mkdirSync(stage);
  // The dashboard is there when it was built.
  for (const name of ['package.json', 'bin', 'docs', 'README.md', 'CHANGELOG.md', 'LICENSE', 'web/dist']) {
    if (existsSync(join(CHECKOUT, name))) cpSync(join(CHECKOUT, name), join(stage, name), { recursive: true });
  }
  execFileSync(process.execPath, ['scripts/build-program.ts', join(stage, 'dist')], { cwd: CHECKOUT, stdio: 'pipe' });
  run('npm', 'pack', '--pack-destination', directory.path, '--loglevel=error');
  mkdirSync(join(modules, 'godwit'), { recursive: true });
  const manifest = JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8')) as Manifest & { version: string };
  run(
    'tar',
    '-xzf',
    directory.join(`godwit-${manifest.version}.tgz`),
    '-C',
    join(modules, 'godwit'),
    '--strip-components=1',
  );
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(MODULES, name), join(modules, name));
  }
  return join(modules, 'godwit', 'bin', 'godwit');
}
