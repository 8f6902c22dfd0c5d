/**
 * Images that VMs have left on this host with a copy at another one, so that a VM that comes back may replace its own.
 *
 * Owns: `left-images/UUID.json` of the state directory. Must hold: an image counts as left only while it is just as the VM
 * left it and nobody has it open: whoever has touched it since has use for it.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { identifyFile, isHeldOpen } from '../linux/file-users.ts';

/** All numbers as text: inodes and nanoseconds are longer than a number of JSON holds. */
const LEFT = z.strictObject({
  path: z.string(),
  device: z.string(),
  inode: z.string(),
  bytes: z.string(),
  modifiedNs: z.string(),
});
type LeftImage = z.output<typeof LEFT>;
const RECORD = z.array(LEFT);

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Instead of what was noted of this VM before. A VM without a usable name leaves nothing that is known. */
export function noteLeftImages(stateDirectory: string, uuid: string, paths: readonly string[]): void {
  if (!UUID.test(uuid)) return;
  const directory = directoryIn(stateDirectory);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  forgetReplaced(directory);
  const left = paths.flatMap((path) => describe(path) ?? []);
  if (left.length > 0) writeFileSync(join(directory, `${uuid}.json`), JSON.stringify(left), { mode: 0o600 });
}

/** Whether this is what the VM left at this path, and nobody's since. */
export function isLeftImage(stateDirectory: string, uuid: string, path: string): boolean {
  if (!UUID.test(uuid)) return false;
  const noted = read(join(directoryIn(stateDirectory), `${uuid}.json`)).find((image) => image.path === path);
  const now = noted && describe(path);
  if (!now || JSON.stringify(now) !== JSON.stringify(noted)) return false;
  const file = identifyFile(path);
  return file !== undefined && !isHeldOpen(file);
}

function directoryIn(stateDirectory: string): string {
  return join(stateDirectory, 'left-images');
}

/** Of VMs whose images have been changed, removed or replaced there is nothing to remember. */
function forgetReplaced(directory: string): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const isStill = read(path).some((image) => JSON.stringify(describe(image.path)) === JSON.stringify(image));
    if (!isStill) rmSync(path, { force: true });
  }
}

/** A record that is damaged is none. */
function read(path: string): readonly LeftImage[] {
  try {
    return RECORD.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return [];
  }
}

function describe(path: string): LeftImage | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (!found?.isFile()) return undefined;
  const { dev, ino, size, mtimeNs } = found;
  // Not when it was changed: a new name, which it has while its VM may come back to it, is a change, too.
  return { path, device: String(dev), inode: String(ino), bytes: String(size), modifiedNs: String(mtimeNs) };
}
