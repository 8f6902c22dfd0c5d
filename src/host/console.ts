/**
 * What a guest has written to its console.
 *
 * Owns: reading the log file that QEMU appends to, from its end on when followed. Must hold: every byte is given once,
 * in order, whatever the file's size; memory use is one chunk.
 */

import { once } from 'node:events';
import { type FSWatcher, watch } from 'node:fs';
import { open } from 'node:fs/promises';
import { GodwitError } from '../base/errors.ts';

const CHUNK_BYTES = 64 * 1024;
// inotify tells of writes at once; this is only for file systems that do not have it, and to see `until`.
const LOOK_AGAIN_MS = 500;

export interface ReadConsoleOptions {
  readonly tailBytes?: number;
  readonly follow: boolean;
  /** Ends the following. */
  readonly signal: AbortSignal;
  /** Whether the guest may still write. */
  alive(): boolean;
}

export async function* readConsole(path: string, options: ReadConsoleOptions): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new GodwitError('GW_NOT_FOUND', { kind: 'console log', name: path }, { cause: error });
  });
  const watcher = options.follow ? watch(path) : undefined;
  try {
    const { size } = await file.stat();
    let at = options.tailBytes === undefined ? 0 : Math.max(0, size - options.tailBytes);
    while (!options.signal.aborted) {
      // Asked before the read, so that what was written before the end is read after it.
      const last = !options.follow || !options.alive();
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, at);
      at += bytesRead;
      if (bytesRead > 0) yield chunk.subarray(0, bytesRead);
      else if (last) return;
      else await nextWrite(watcher!, options.signal);
    }
  } finally {
    watcher?.close();
    await file.close();
  }
}

async function nextWrite(watcher: FSWatcher, signal: AbortSignal): Promise<void> {
  const timeout = AbortSignal.timeout(LOOK_AGAIN_MS);
  try {
    await once(watcher, 'change', { signal: AbortSignal.any([signal, timeout]) });
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
  }
}
