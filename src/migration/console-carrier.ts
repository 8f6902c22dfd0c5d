/**
 * The console's text goes with the VM.
 *
 * Owns: reading the log of the source from where it was sent last. Must hold: what the guest printed before the stop
 * is complete at the destination before the guest prints there; of a long log only the end goes along.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { Connection } from '../transfer/connection.ts';
import type { Pacer } from '../transfer/pacer.ts';
import { encodeChunkHeader } from '../wire/encoder.ts';
import { MAX_CONSOLE_CHUNK } from '../wire/limits.ts';

/** More than anyone reads, and quick to send. */
const MAX_CARRIED_BYTES = 4 * 1024 * 1024;

export class ConsoleCarrier {
  readonly #path: string | null;
  #at = -1;

  /** @param path - the console's log, or null when there is none */
  constructor(path: string | null) {
    this.#path = path;
  }

  /** Sends what was written since the last call. */
  async sendRest(connection: Connection, pacer: Pacer): Promise<void> {
    for (const chunk of this.#read()) {
      await pacer.take(chunk.length);
      await connection.send(encodeChunkHeader('consoleChunk', chunk.length), chunk);
    }
  }

  *#read(): Generator<Uint8Array> {
    if (this.#path === null) return;
    const fd = openLog(this.#path);
    if (fd === undefined) return;
    try {
      const { size } = fstatSync(fd);
      if (this.#at < 0) this.#at = Math.max(0, size - MAX_CARRIED_BYTES);
      while (this.#at < size) {
        const chunk = new Uint8Array(Math.min(MAX_CONSOLE_CHUNK, size - this.#at));
        const bytes = readSync(fd, chunk, 0, chunk.length, this.#at);
        if (bytes === 0) return;
        this.#at += bytes;
        yield chunk.subarray(0, bytes);
      }
    } finally {
      closeSync(fd);
    }
  }
}

/** undefined when somebody removed the log: a migration does not fail for that. */
function openLog(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
