/**
 * Cuts a byte stream into lines, such as that of QMP.
 *
 * Owns: the bytes of the line that has not ended yet. Must hold: never more than `maxBytes` of one line are kept.
 * Must never: decode before a line is complete (a UTF-8 character may be split between two reads).
 */
const NEWLINE = 0x0a;

export class Lines {
  readonly #maxBytes: number;
  readonly #tooLong: (reason: string) => Error;
  readonly #decoder = new TextDecoder();
  #parts: Uint8Array[] = [];
  #bytes = 0;

  /** @param tooLong - what is thrown for a line that is longer */
  constructor(maxBytes: number, tooLong: (reason: string) => Error) {
    this.#maxBytes = maxBytes;
    this.#tooLong = tooLong;
  }

  /** The lines that `chunk` completes, without their ends. Throws what `tooLong` makes. */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, end));
      lines.push(this.#decoder.decode(this.#take()).replace(/\r$/, ''));
      from = end + 1;
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from));
    return lines;
  }

  #keep(part: Uint8Array): void {
    this.#bytes += part.length;
    if (this.#bytes > this.#maxBytes) throw this.#tooLong(`one line is longer than ${this.#maxBytes} bytes`);
    this.#parts.push(part);
  }

  #take(): Uint8Array {
    const whole = new Uint8Array(this.#bytes);
    let at = 0;
    for (const part of this.#parts) {
      whole.set(part, at);
      at += part.length;
    }
    this.#parts = [];
    this.#bytes = 0;
    return whole;
  }
}
