/**
 * A file on tmpfs that this thread has mapped: what is written to it is there for whoever opens the file next, however this
 * process ends.
 *
 * Owns: the mapping. Must hold: all of the file's memory is reserved before it is mapped, so that no access raises SIGBUS on a
 * full host; after disposal nobody uses a view any more (the address is another's then).
 */
import { closeSync, ftruncateSync, openSync, rmSync } from 'node:fs';
import { GodwitError } from '../base/errors.ts';
import { MAP_SHARED, PROT_READ, PROT_WRITE } from './abi/files.ts';
import { RamFile } from './ram-file.ts';
import { call, memoryAt, raw } from './raw.ts';

export class MappedFile implements Disposable {
  readonly #address: number | bigint;
  #memory: ArrayBuffer | undefined;

  private constructor(file: RamFile) {
    const protection = PROT_READ | PROT_WRITE;
    // SAFETY: a new mapping, which takes nobody's memory; it lives until disposal.
    this.#address = call('mmap(file)', raw.mmap(null, file.bytes, protection, MAP_SHARED, file.fd, 0));
    this.#memory = memoryAt(this.#address, file.bytes);
  }

  /** It reads as zero. @throws EEXIST, GW_SYS_CALL, GW_SYS_NO_ROOM, and leaves no file of its own then */
  static create(path: string, bytes: number): MappedFile {
    const fd = openSync(path, 'wx', 0o600);
    try {
      ftruncateSync(fd, bytes);
      return MappedFile.open(path, bytes);
    } catch (error) {
      rmSync(path, { force: true });
      throw error;
    } finally {
      closeSync(fd);
    }
  }

  /** @throws GW_INPUT_UNREADABLE when it is shorter, GW_SYS_CALL, GW_SYS_NO_ROOM */
  static open(path: string, bytes: number): MappedFile {
    using file = RamFile.open(path, bytes);
    // Nobody makes holes in it; should somebody have, an access must not find the host full.
    file.allocate(0, bytes);
    return new MappedFile(file);
  }

  get memory(): ArrayBuffer {
    if (this.#memory) return this.#memory;
    throw new GodwitError('GW_INTERNAL', { reason: 'a file is used that is mapped no more' });
  }

  [Symbol.dispose](): void {
    if (!this.#memory) return;
    const { byteLength } = this.#memory;
    this.#memory = undefined;
    // SAFETY: the mapping is ours, and its owner has given up the views.
    call('munmap(file)', raw.munmap(this.#address, byteLength));
  }
}
