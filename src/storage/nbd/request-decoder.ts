/**
 * Bytes of a client to requests, once an export is in use.
 *
 * Owns: the buffer that headers arrive in. The data of a write arrives, as far as it is not there with its header, in
 * the memory that it is written from.
 * Must hold: a header is checked as soon as it is there, before memory for its data is taken; after an error every later
 * call throws it again, because the boundary of requests is lost.
 */
import { GodwitError } from '../../base/errors.ts';
import { MAX_REQUEST_BYTES } from './limits.ts';
import { NBD_CMD_WRITE, NBD_REQUEST_MAGIC } from './numbers.ts';

export interface NbdRequest {
  readonly command: number;
  readonly flags: number;
  /** The client's own mark, which its reply carries; in halves. */
  readonly cookieHigh: number;
  readonly cookieLow: number;
  /** Exact up to 2^53, which no image reaches. */
  readonly offset: number;
  readonly bytes: number;
  /** Of a write: exactly `bytes`. */
  readonly data: Uint8Array | undefined;
}

const REQUEST_HEADER_BYTES = 28;
/** A queue of 128 requests of 4 KiB with their data comes in a handful of reads. */
const BUFFER_BYTES: number = 256 * 1024;

export class RequestDecoder {
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  readonly #takeMemory: (bytes: number) => Uint8Array;
  #start = 0;
  #end = 0;
  /** Waits for its data. */
  #write: (NbdRequest & { readonly data: Uint8Array }) | undefined;
  #filled = 0;
  #failure: unknown;

  /** @param takeMemory - of exactly so many bytes, for the data of a write; the request has it from then on */
  constructor(takeMemory: (bytes: number) => Uint8Array) {
    this.#takeMemory = takeMemory;
  }

  /** Where the next bytes belong; never empty when `next` has said that it needs more. */
  writable(): Uint8Array {
    if (this.#write) return this.#write.data.subarray(this.#filled);
    if (this.#start > 0) {
      // Less than a header.
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    return this.#buffer.subarray(this.#end);
  }

  /** Tells that so many bytes were written to the beginning of the last `writable`. */
  commit(bytes: number): void {
    if (this.#write) this.#filled += bytes;
    else this.#end += bytes;
  }

  /** The next request with all its data; undefined: more bytes are needed for it. Throws GW_NBD_PROTOCOL. */
  next(): NbdRequest | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return this.#write ? this.#finishWrite(this.#write) : this.#readHeader();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  #readHeader(): NbdRequest | undefined {
    const at = this.#start;
    if (this.#end - at < REQUEST_HEADER_BYTES) return undefined;
    const buffer = this.#buffer;
    if (buffer.readUInt32BE(at) !== NBD_REQUEST_MAGIC) {
      throw violation(`a request begins with ${buffer.subarray(at, at + 8).toString('hex')}`);
    }
    const command = buffer.readUInt16BE(at + 6);
    const bytes = buffer.readUInt32BE(at + 24);
    const isWrite = command === NBD_CMD_WRITE;
    if (isWrite && bytes > MAX_REQUEST_BYTES) {
      throw violation(`it writes ${bytes} bytes at once, more than the ${MAX_REQUEST_BYTES} allowed`);
    }
    this.#start += REQUEST_HEADER_BYTES;
    const request = {
      command,
      flags: buffer.readUInt16BE(at + 4),
      cookieHigh: buffer.readUInt32BE(at + 8),
      cookieLow: buffer.readUInt32BE(at + 12),
      offset: buffer.readUInt32BE(at + 16) * 2 ** 32 + buffer.readUInt32BE(at + 20),
      bytes,
      data: isWrite ? this.#takeMemory(bytes) : undefined,
    };
    if (!request.data) return request;
    this.#filled = Math.min(bytes, this.#end - this.#start);
    request.data.set(buffer.subarray(this.#start, this.#start + this.#filled));
    this.#start += this.#filled;
    return this.#finishWrite(request as NbdRequest & { readonly data: Uint8Array });
  }

  #finishWrite(request: NbdRequest & { readonly data: Uint8Array }): NbdRequest | undefined {
    const isComplete = this.#filled === request.bytes;
    this.#write = isComplete ? undefined : request;
    return isComplete ? request : undefined;
  }
}

function violation(reason: string): GodwitError {
  return new GodwitError('GW_NBD_PROTOCOL', { reason });
}
