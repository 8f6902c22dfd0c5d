/**
 * Cuts the byte stream of a QMP connection into lines.
 *
 * Owns: the bytes of the line that has not ended yet. Must hold: never more than `maxBytes` of one line are kept.
 * Must never: decode before a line is complete (a UTF-8 character may be split between two reads).
 */
import { GodwitError } from '../base/errors.ts';

/** QEMU's longest answers (query-qmp-schema, qom-list-properties) are below 1 MiB; a stream without line ends is no QMP. */
export const MAX_QMP_LINE_BYTES: number = 16 * 1024 * 1024;

const NEWLINE = 0x0a;

export class QmpLines {
  readonly #path: string;
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(path: string, maxBytes: number = MAX_QMP_LINE_BYTES) {
    this.#path = path;
    this.#maxBytes = maxBytes;
  }

  /** The lines that `chunk` completes, without their ends. Throws GW_QMP_PROTOCOL when a line is too long. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, end));
      lines.push(Buffer.concat(this.#parts).toString('utf8').replace(/\r$/, ''));
      this.#parts = [];
      this.#bytes = 0;
      from = end + 1;
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from));
    return lines;
  }

  #keep(part: Buffer): void {
    this.#bytes += part.length;
    if (this.#bytes > this.#maxBytes) {
      const reason = `one line is longer than ${this.#maxBytes} bytes`;
      throw new GodwitError('GW_QMP_PROTOCOL', { path: this.#path, reason });
    }
    this.#parts.push(part);
  }
}
