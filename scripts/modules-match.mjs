/**
 * Is node_modules what package-lock.json says? Exit status 0 when it is. Runs on Node 20, before anything is installed.
 */
import { existsSync, readFileSync } from 'node:fs';

const INSTALLED = 'node_modules/.package-lock.json';

function packagesOf(path) {
  return JSON.parse(readFileSync(path, 'utf8')).packages;
}

/** npm leaves out optional packages for other machines, so one that is optional may be absent. */
function matches() {
  if (!existsSync(INSTALLED)) return false;
  const wanted = packagesOf('package-lock.json');
  const installed = packagesOf(INSTALLED);
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const found = installed[path];
    return found === undefined ? entry.optional === true : found.version === entry.version;
  });
}

process.exitCode = matches() ? 0 : 1;
