/**
 * Compiled code of godwit's own modules, kept on disk: each thread of a daemon compiles its modules anew, which without
 * the cache takes two thirds of its start, and a migration starts several.
 *
 * Owns: which directory it is. Must hold: nobody else can write there, because what lies there is run; without such a
 * directory everything works, only slower. https://nodejs.org/api/module.html#module-compile-cache
 */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** For this process and, by the environment, its threads and children. Who has set the variable decides. */
export function enableCodeCache(environment: NodeJS.ProcessEnv = process.env): void {
  if (environment['NODE_COMPILE_CACHE'] !== undefined || environment['NODE_DISABLE_COMPILE_CACHE'] !== undefined)
    return;
  const directory = codeCacheDirectory(environment);
  if (directory === undefined) return;
  environment['NODE_COMPILE_CACHE'] = directory;
  enableCompileCache(directory);
}

/** A checkout's own, else the user's; undefined when somebody else could write there. */
export function codeCacheDirectory(
  environment: NodeJS.ProcessEnv,
  module: string = import.meta.url,
): string | undefined {
  const isCheckout = existsSync(new URL('../../src/cli/bin.ts', module));
  const parent = isCheckout
    ? fileURLToPath(new URL('../../.cache', module))
    : join(environment['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'godwit');
  const directory = join(parent, 'code');
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return [parent, directory].every(isOurs) ? directory : undefined;
  } catch {
    return undefined;
  }
}

function isOurs(path: string): boolean {
  const { uid, mode } = statSync(path);
  return uid === process.getuid?.() && (mode & 0o022) === 0;
}
