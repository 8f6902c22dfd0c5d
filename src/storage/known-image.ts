/**
 * An image as the file that it is, and no other one that may be at its path later.
 *
 * Must hold: only that very file is removed; whatever has taken its place is somebody's.
 */
import { rmSync, statSync } from 'node:fs';
import { asGodwitError } from '../base/errors.ts';

/** Plain data: journals keep it. */
export type KnownImage = {
  readonly path: string;
  /** The number of the file and when it was made: a number is given again. */
  readonly identity: string;
};

/** Those that are there. */
export function knowImages(paths: readonly string[]): KnownImage[] {
  return paths.flatMap((path) => {
    const identity = identityOf(path);
    return identity === undefined ? [] : [{ path, identity }];
  });
}

/** @param note - told of one that stays although it should not */
export function removeImages(images: readonly KnownImage[], note: (text: string) => void): void {
  for (const { path, identity } of images) {
    try {
      if (identityOf(path) === identity) rmSync(path);
    } catch (error) {
      note(`${path} was not deleted: ${asGodwitError(error).message}`);
    }
  }
}

function identityOf(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found && `${found.ino} ${found.birthtimeNs}`;
}
