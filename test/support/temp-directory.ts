/** A directory for one test, with a short path (unix sockets lie in it), removed when it is disposed of. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Of files and directories in shared memory: whose they are, for the look at what is left behind. */
export const SHARED_MEMORY_PREFIX = `/dev/shm/godwit-test-${process.pid}-`;

const existing = new Set<string>();

/** Those of this process that have not been disposed of. */
export function listTempDirectories(): string[] {
  return [...existing];
}

export class TempDirectory implements Disposable {
  readonly path: string;

  constructor(parent: string = tmpdir()) {
    this.path = mkdtempSync(join(parent, 'gwt-'));
    existing.add(this.path);
  }

  join(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
    existing.delete(this.path);
  }
}
