/**
 * A token: a small file beside an image. Who can read it sees the directory that the image is in.
 *
 * Owns: the file, from `write` to `remove`. Must hold: nothing is ever written into an image, or over a file that is there;
 * what is read is a token by its name, its size and its contents, so that a peer cannot make this host tell of other files.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  realpathSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { OfferedDisk } from '../wire/disk-messages.ts';

export type TokenMark = NonNullable<OfferedDisk['token']>;

const TOKEN = /^[0-9a-f]{64}$/;
const TOKEN_CHARACTERS = 64;

/** Beside the file that the path leads to. @throws the system's own error where the directory takes no file */
export function writeToken(image: string): TokenMark {
  const name = `.godwit-${randomBytes(8).toString('hex')}`;
  const token = randomBytes(TOKEN_CHARACTERS / 2).toString('hex');
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const fd = openSync(tokenPath(image, name), flags, 0o600);
  try {
    writeSync(fd, token);
    // On a network file system it is at the server by then.
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return { name, hash: hashOfToken(token) };
}

/** What the file of this name beside the image holds; undefined where there is none, or something else. */
export function readToken(image: string, name: string): string | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(tokenPath(image, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!fstatSync(fd).isFile()) return undefined;
    const bytes = Buffer.alloc(TOKEN_CHARACTERS + 1);
    const token = bytes.toString('latin1', 0, readSync(fd, bytes));
    return TOKEN.test(token) ? token : undefined;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Where there is none any more nothing happens. */
export function removeToken(image: string, name: string): void {
  try {
    rmSync(tokenPath(image, name), { force: true });
  } catch (error) {
    // The image has gone, or its directory takes no changes any more: then a small file stays, which means nothing.
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
}

export function hashOfToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

function tokenPath(image: string, name: string): string {
  return join(dirname(realpathSync(image)), name);
}
