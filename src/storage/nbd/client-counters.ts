/**
 * What a client has asked for so far.
 *
 * Owns: the counts.
 */
import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
} from './numbers.ts';
import type { NbdRequest } from './request-decoder.ts';

const NAMES: ReadonlyMap<number, CommandName> = new Map([
  [NBD_CMD_READ, 'read'],
  [NBD_CMD_WRITE, 'write'],
  [NBD_CMD_FLUSH, 'flush'],
  [NBD_CMD_TRIM, 'trim'],
  [NBD_CMD_WRITE_ZEROES, 'writeZeroes'],
  [NBD_CMD_BLOCK_STATUS, 'blockStatus'],
]);

export type CommandName = 'read' | 'write' | 'flush' | 'trim' | 'writeZeroes' | 'blockStatus' | 'unknown';

export interface Counted {
  readonly requests: number;
  readonly failed: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly flushes: number;
}

export class ClientCounters {
  #requests = 0;
  #answered = 0;
  #failed = 0;
  #readBytes = 0;
  #writtenBytes = 0;
  #flushes = 0;

  took({ command, bytes }: NbdRequest): void {
    this.#requests++;
    if (command === NBD_CMD_READ) this.#readBytes += bytes;
    else if (command === NBD_CMD_WRITE) this.#writtenBytes += bytes;
    else if (command === NBD_CMD_FLUSH) this.#flushes++;
  }

  answered(isFailure: boolean): void {
    this.#answered++;
    if (isFailure) this.#failed++;
  }

  get open(): number {
    return this.#requests - this.#answered;
  }

  get counted(): Counted {
    return {
      requests: this.#requests,
      failed: this.#failed,
      readBytes: this.#readBytes,
      writtenBytes: this.#writtenBytes,
      flushes: this.#flushes,
    };
  }
}

export function commandName(command: number): CommandName {
  return NAMES.get(command) ?? 'unknown';
}
