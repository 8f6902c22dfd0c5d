/**
 * Which pages are in a file, by fingerprint: what makes an image of a VM's memory of use to others.
 *
 * Owns: the index and its form on disk. Must hold: it is only a hint where to look: whoever takes a page by it hashes
 * that page again. A file that is damaged or was made under another key is none at all.
 *
 * Form, little-endian: 8 bytes magic, 8 bytes name of the key, u32 pages, u32 0, 16 bytes a page fingerprints, u32 a page
 * numbers.
 */
import { closeSync, fstatSync, openSync, readSync, renameSync, writeSync } from 'node:fs';
import type { PageIndex } from '../base/page.ts';
import { KEY_NAME_BYTES, type PageFingerprint } from './page-fingerprint.ts';

/** In memory that threads can share. */
export interface ContentIndex {
  readonly pages: number;
  /** 16 bytes a page. */
  readonly fingerprints: Buffer<SharedArrayBuffer>;
  /** Where in the file each page lies, counted in pages. */
  readonly numbers: Uint32Array<SharedArrayBuffer>;
}

export const INDEX_ENTRY_BYTES = 20;
const MAGIC = Buffer.from('GWPAGES1');
const HEADER_BYTES = 24;
const FINGERPRINT_BYTES = 16;

export class ContentIndexBuilder {
  readonly #fingerprints: Buffer<SharedArrayBuffer>;
  readonly #numbers: Uint32Array<SharedArrayBuffer>;
  #pages = 0;

  /** @param maxPages - memory is taken for so many */
  constructor(maxPages: number) {
    this.#fingerprints = sharedBuffer(maxPages * FINGERPRINT_BYTES);
    this.#numbers = new Uint32Array(new SharedArrayBuffer(maxPages * 4));
  }

  get isFull(): boolean {
    return this.#pages === this.#numbers.length;
  }

  add(number: PageIndex, fingerprint: Buffer): void {
    this.#fingerprints.set(fingerprint, this.#pages * FINGERPRINT_BYTES);
    this.#numbers[this.#pages++] = number;
  }

  finish(): ContentIndex {
    return {
      pages: this.#pages,
      fingerprints: this.#fingerprints.subarray(0, this.#pages * FINGERPRINT_BYTES),
      numbers: this.#numbers.subarray(0, this.#pages),
    };
  }
}

/** The file is there whole or not at all. */
export function writeContentIndex(
  path: string,
  index: ContentIndex,
  { keyName }: Pick<PageFingerprint, 'keyName'>,
): void {
  const header = Buffer.alloc(HEADER_BYTES);
  header.set(MAGIC);
  header.set(keyName, MAGIC.length);
  header.writeUInt32LE(index.pages, MAGIC.length + KEY_NAME_BYTES);
  const { buffer, byteOffset, byteLength } = index.numbers;
  const temporary = `${path}.new`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    for (const part of [header, index.fingerprints, Buffer.from(buffer, byteOffset, byteLength)]) {
      for (let at = 0; at < part.length; ) at += writeSync(fd, part, at);
    }
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
}

/** undefined: there is none, it is damaged, of another key, or of more than `maxPages`. */
export function readContentIndex(
  path: string,
  { keyName }: Pick<PageFingerprint, 'keyName'>,
  maxPages: number,
): ContentIndex | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    if (!readWhole(fd, header, 0)) return undefined;
    const pages = header.readUInt32LE(MAGIC.length + KEY_NAME_BYTES);
    const isOurs = header.indexOf(MAGIC) === 0 && header.subarray(MAGIC.length, -8).equals(keyName);
    const isWhole = fstatSync(fd).size === HEADER_BYTES + pages * INDEX_ENTRY_BYTES;
    if (!isOurs || !isWhole || pages > maxPages) return undefined;
    const fingerprints = sharedBuffer(pages * FINGERPRINT_BYTES);
    const numbers = new Uint32Array(new SharedArrayBuffer(pages * 4));
    const isRead =
      readWhole(fd, fingerprints, HEADER_BYTES) &&
      readWhole(fd, new Uint8Array(numbers.buffer), HEADER_BYTES + fingerprints.length);
    return isRead ? { pages, fingerprints, numbers } : undefined;
  } finally {
    closeSync(fd);
  }
}

function sharedBuffer(bytes: number): Buffer<SharedArrayBuffer> {
  return Buffer.from(new SharedArrayBuffer(bytes));
}

function readWhole(fd: number, into: Uint8Array, from: number): boolean {
  for (let at = 0; at < into.length; ) {
    const count = readSync(fd, into, at, into.length - at, from + at);
    if (count === 0) return false;
    at += count;
  }
  return true;
}
