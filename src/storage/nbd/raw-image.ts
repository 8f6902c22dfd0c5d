/**
 * A raw image, as what NBD's commands do with it.
 *
 * Owns: the file. Must hold: an operation calls back once, with 0 or NBD's error; data that was changed durably is on
 * the storage by then; a range that was made zero reads as zero whatever the file system can do.
 */
import type { BlockFile } from '../../linux/block-file.ts';
import { Errno } from '../../linux/errno.ts';
import { ImageLock } from './image-lock.ts';
import { NbdError } from './numbers.ts';
import type { Extent } from './replies.ts';

type Done = (error: NbdError) => void;

export interface ZeroManner {
  /** The room may go back to the storage. */
  readonly mayPunch: boolean;
  /** Rather fail than write zeroes. */
  readonly isFast: boolean;
  readonly isDurable: boolean;
}

/** What is written where the storage cannot make zeroes by itself. */
const ZEROES = Buffer.alloc(1024 * 1024);
/** A device's own unit at the least; smaller requests would make the kernel read what they do not cover. */
const DEVICE_BLOCK_BYTES = 512;

const ERRORS: ReadonlyMap<number, NbdError> = new Map([
  [Errno.EPERM, NbdError.EPERM],
  [Errno.EACCES, NbdError.EPERM],
  [Errno.ENOMEM, NbdError.ENOMEM],
  [Errno.EINVAL, NbdError.EINVAL],
  [Errno.ENOSPC, NbdError.ENOSPC],
  [Errno.EDQUOT, NbdError.ENOSPC],
]);

export class RawImage implements Disposable {
  readonly lock: ImageLock;
  readonly #file: BlockFile;

  constructor(file: BlockFile, isReadOnly: boolean) {
    this.#file = file;
    this.lock = new ImageLock(file.locks, isReadOnly);
  }

  get bytes(): number {
    return this.#file.bytes;
  }

  get minBlockBytes(): number {
    return this.#file.isDevice ? DEVICE_BLOCK_BYTES : 1;
  }

  read(into: Uint8Array, offset: number, done: Done): void {
    const count = this.#file.readNow(into, offset);
    if (count === into.byteLength) done(NbdError.none);
    else this.#readRest(count === 0 ? into : into.subarray(count), offset + count, done);
  }

  write(from: Uint8Array, offset: number, isDurable: boolean, done: Done): void {
    this.#file.write(from, offset, (result) => {
      if (result < 0) done(nbdErrorOf(result));
      else if (result < from.byteLength) this.write(from.subarray(result), offset + result, isDurable, done);
      else this.#settle(isDurable, done);
    });
  }

  /** Advice only: what the storage cannot give up, it keeps. */
  trim(offset: number, bytes: number, isDurable: boolean, done: Done): void {
    if (bytes === 0) this.#settle(isDurable, done);
    else {
      this.#file.punch(offset, bytes, (result) => {
        if (result < 0 && !isUnable(result)) done(nbdErrorOf(result));
        else this.#settle(isDurable, done);
      });
    }
  }

  zero(offset: number, bytes: number, manner: ZeroManner, done: Done): void {
    if (bytes === 0) {
      this.#settle(manner.isDurable, done);
      return;
    }
    const after = (result: number): void => {
      if (result >= 0) this.#settle(manner.isDurable, done);
      else if (!isUnable(result)) done(nbdErrorOf(result));
      else if (manner.isFast) done(NbdError.ENOTSUP);
      else this.#writeZeroes(offset, bytes, manner.isDurable, done);
    };
    if (manner.mayPunch) this.#file.punch(offset, bytes, after);
    else this.#file.zero(offset, bytes, after);
  }

  flush(done: Done): void {
    this.#settle(true, done);
  }

  /** What other hosts may have changed meanwhile is read from the storage again. */
  forgetCached(): void {
    this.#file.forgetCached();
  }

  /** What lies in a range, in order and without gaps: `limit` parts at most, which then end before the range does. */
  extents(offset: number, bytes: number, limit: number): Extent[] {
    const end = offset + bytes;
    const found: Extent[] = [];
    for (let at = offset; at < end && found.length < limit; ) {
      const data = Math.min(this.#file.seek('data', at), end);
      if (data > at) {
        found.push({ offset: at, bytes: data - at, isHole: true });
        at = data;
        continue;
      }
      const hole = Math.min(Math.max(this.#file.seek('hole', at), at + 1), end);
      found.push({ offset: at, bytes: hole - at, isHole: false });
      at = hole;
    }
    return found;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  #readRest(into: Uint8Array, offset: number, done: Done): void {
    this.#file.read(into, offset, (result) => {
      if (result < 0) done(nbdErrorOf(result));
      // Somebody has cut the file shorter than it was when it was opened.
      else if (result === 0) done(NbdError.EIO);
      else if (result < into.byteLength) this.#readRest(into.subarray(result), offset + result, done);
      else done(NbdError.none);
    });
  }

  #writeZeroes(offset: number, bytes: number, isDurable: boolean, done: Done): void {
    const part = ZEROES.subarray(0, Math.min(bytes, ZEROES.length));
    const isLast = part.length === bytes;
    this.write(part, offset, isLast && isDurable, (error) => {
      if (error !== NbdError.none || isLast) done(error);
      else this.#writeZeroes(offset + part.length, bytes - part.length, isDurable, done);
    });
  }

  #settle(isDurable: boolean, done: Done): void {
    if (isDurable) this.#file.sync((result) => done(nbdErrorOf(result)));
    else done(NbdError.none);
  }
}

/** The storage does not know the operation, or not for such a range. */
function isUnable(result: number): boolean {
  return result === -Errno.EOPNOTSUPP || result === -Errno.EINVAL || result === -Errno.ENOSYS;
}

/** @param result - 0 or more: none */
function nbdErrorOf(result: number): NbdError {
  return result >= 0 ? NbdError.none : (ERRORS.get(-result) ?? NbdError.EIO);
}
