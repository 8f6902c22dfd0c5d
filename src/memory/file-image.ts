/**
 * Pages in a file, each where its number says.
 *
 * Owns: a descriptor: the file may lose its name meanwhile.
 */
import { closeSync, openSync } from 'node:fs';
import type { FilePiece } from '../linux/ram-file.ts';
import type { PageImage } from './content-store.ts';

export class FileImage implements PageImage {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, 'r');
  }

  get pieces(): readonly FilePiece[] {
    return [{ fd: this.#fd, offset: 0, bytes: Number.MAX_SAFE_INTEGER }];
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
