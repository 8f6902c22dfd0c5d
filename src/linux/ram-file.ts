/**
 * The file that is a VM's RAM (tmpfs or hugetlbfs).
 *
 * Owns: a descriptor of it. Everything goes by pread and pwrite: nothing is mapped, so no access can raise SIGBUS when
 * the file system is full, no hole is filled by reading it, and a userfaultfd of QEMU is not involved.
 * Must hold: offsets and lengths are whole pages wherever pages are meant.
 */
import { fstatSync, statfsSync } from 'node:fs';
import { hostname } from 'node:os';

import { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE, type PageIndex, type PageRun, RunBuilder } from '../base/page.ts';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, O_CLOEXEC, O_RDWR, SEEK_DATA, SEEK_HOLE } from './abi/files.ts';
import { Errno } from './errno.ts';
import { FileDescriptor, retryInterrupted } from './file-descriptor.ts';
import { lastErrno, raw, systemCallError } from './raw.ts';

/** A part of a file that is open in this process. */
export interface FilePiece {
  readonly fd: number;
  readonly offset: number;
  readonly bytes: number;
}

export class RamFile implements Disposable {
  readonly bytes: number;
  readonly #descriptor: FileDescriptor;

  private constructor(descriptor: FileDescriptor, bytes: number) {
    this.#descriptor = descriptor;
    this.bytes = bytes;
  }

  /**
   * @param path - of the file itself, or /proc/PID/fd/N of a process that has it open
   * @param bytes - what the VM believes its size to be; a shorter file is refused
   */
  static open(path: string, bytes: number): RamFile {
    const descriptor = FileDescriptor.open(path, O_RDWR | O_CLOEXEC);
    const size = fstatSync(descriptor.fd).size;
    if (size < bytes) {
      descriptor[Symbol.dispose]();
      const reason = `it has ${size} bytes where the VM has ${bytes}`;
      throw new GodwitError('GW_INPUT_UNREADABLE', { path, reason });
    }
    return new RamFile(descriptor, bytes);
  }

  get fd(): number {
    return this.#descriptor.fd;
  }

  /** Fills `into` with what lies at `offset`; holes read as zero and stay holes. */
  read(offset: number, into: Uint8Array): void {
    this.#checkRange(offset, into.byteLength);
    for (let done = 0; done < into.byteLength; ) {
      const part = done === 0 ? into : into.subarray(done);
      // SAFETY: the kernel writes at most part.byteLength bytes of `part`, which this frame references.
      const count = retryInterrupted(() => raw.pread(this.fd, part, part.byteLength, offset + done));
      if (count === -1) throw systemCallError('pread(RAM file)', lastErrno());
      if (count === 0) throw systemCallError('pread(RAM file) beyond its end', Errno.ENXIO);
      done += count;
    }
  }

  /** Throws GW_SYS_NO_ROOM when the file system is full; part of the bytes may then be written. */
  write(offset: number, from: Uint8Array): void {
    this.#checkRange(offset, from.byteLength);
    for (let done = 0; done < from.byteLength; ) {
      const part = done === 0 ? from : from.subarray(done);
      // SAFETY: the kernel reads at most part.byteLength bytes of `part`, which this frame references.
      const count = retryInterrupted(() => raw.pwrite(this.fd, part, part.byteLength, offset + done));
      if (count === -1) throw writeError('pwrite(RAM file)', lastErrno(), part.byteLength, this.fd);
      done += count;
    }
  }

  /** The runs of pages that the file holds, between two page numbers; everything else reads as zero. */
  dataRuns(fromPage: PageIndex = 0, toPage: PageIndex = this.bytes / PAGE_SIZE): PageRun[] {
    this.#checkRange(fromPage * PAGE_SIZE, (toPage - fromPage) * PAGE_SIZE);
    const runs = new RunBuilder();
    const end = toPage * PAGE_SIZE;
    for (let at = fromPage * PAGE_SIZE; at < end; ) {
      const data = this.#seek(at, SEEK_DATA);
      if (data === undefined || data >= end) break;
      const hole = Math.min(this.#seek(data, SEEK_HOLE) ?? end, end);
      const first = Math.floor(data / PAGE_SIZE);
      runs.add(first, Math.ceil(hole / PAGE_SIZE) - first);
      at = hole;
    }
    return runs.finish();
  }

  /** Memory that the file holds: 4 KiB a page that was touched. */
  allocatedBytes(): number {
    return fstatSync(this.fd).blocks * 512;
  }

  /** Makes a hole: its memory goes back to the host and it reads as zero, in QEMU too. */
  punch(offset: number, bytes: number): void {
    if (bytes === 0) return;
    this.#checkRange(offset, bytes);
    const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    // SAFETY: no memory of ours.
    const result = retryInterrupted(() => raw.fallocate(this.fd, mode, offset, bytes));
    if (result === -1) throw systemCallError('fallocate(PUNCH_HOLE)', lastErrno());
  }

  /** Reserves memory, so that writing there cannot fail for want of room. Throws GW_SYS_NO_ROOM, changing nothing. */
  allocate(offset: number, bytes: number): void {
    if (bytes === 0) return;
    this.#checkRange(offset, bytes);
    // SAFETY: no memory of ours. A signal makes tmpfs roll back, so that trying again is right.
    const result = retryInterrupted(() => raw.fallocate(this.fd, 0, offset, bytes));
    if (result === -1) throw writeError('fallocate', lastErrno(), bytes, this.fd);
  }

  [Symbol.dispose](): void {
    this.#descriptor[Symbol.dispose]();
  }

  /** undefined when nothing of the kind follows. */
  #seek(offset: number, whence: number): number | undefined {
    // SAFETY: no memory. It moves the file offset, which pread and pwrite do not use; the descriptor is ours alone.
    const found = raw.lseek(this.fd, offset, whence);
    if (found !== -1) return found;
    const errno = lastErrno();
    if (errno === Errno.ENXIO) return undefined;
    throw systemCallError('lseek(RAM file)', errno);
  }

  #checkRange(offset: number, bytes: number): void {
    if (offset < 0 || bytes < 0 || offset + bytes > this.bytes) {
      throw new RangeError(`Bytes ${offset}+${bytes} lie outside a RAM file of ${this.bytes} bytes`);
    }
  }
}

/** Of writing so many bytes to the file: GW_SYS_NO_ROOM where that is the reason, GW_SYS_CALL otherwise. */
export function writeError(name: string, errno: number, needed: number, fd: number): GodwitError {
  if (errno !== Errno.ENOSPC && errno !== Errno.ENOMEM && errno !== Errno.EDQUOT) return systemCallError(name, errno);
  const { bavail, bsize } = statfsSync(`/proc/self/fd/${fd}`);
  const cause = systemCallError(name, errno);
  return new GodwitError(
    'GW_SYS_NO_ROOM',
    { resource: 'memory for guest RAM (bytes)', host: hostname(), needed, available: bavail * bsize },
    { cause },
  );
}
