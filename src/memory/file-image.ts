/**
 * Pages in a file, each where its number says.
 *
 * Owns: a descriptor: the file may lose its name meanwhile.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { PAGE_SIZE, type PageIndex } from '../base/page.ts';
import type { PageImage } from './content-store.ts';

export class FileImage implements PageImage {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, 'r');
  }

  read(number: PageIndex, into: Uint8Array): boolean {
    return readSync(this.#fd, into, 0, PAGE_SIZE, number * PAGE_SIZE) === PAGE_SIZE;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
