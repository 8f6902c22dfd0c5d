/**
 * Whose an image is, where everybody who opens it finds out: another block server, and QEMU, which has the same locks
 * (`file.locking`, on by itself). Who writes is alone; any number may read together.
 *
 * Owns: the locks of one image. Must hold: of two that take it at once at most one has it (both lock first and look then).
 * The bytes are those of QEMU: raw_apply_lock_bytes and raw_check_lock_bytes of block/file-posix.c; their contents do not matter.
 */
import { explain, GodwitError } from '../../base/errors.ts';
import { findFileLockers, identifyFile } from '../../linux/file-users.ts';
import type { OpenFileLocks } from '../../linux/open-file-locks.ts';

/** RAW_LOCK_PERM_BASE: locked by who does it. */
const DOES = 100;
/** RAW_LOCK_SHARED_BASE: locked by who bears nobody that does it. */
const BEARS_NOT = 200;
/** BLK_PERM_CONSISTENT_READ, BLK_PERM_WRITE and BLK_PERM_RESIZE of QEMU, as numbers of bits. */
const READ = 0;
const WRITE = 1;
const RESIZE = 3;
/** What the bytes of an image are has to stay so for whoever reads it, too. */
const UNBEARABLE = [WRITE, RESIZE];

export type LockOutcome =
  | { readonly kind: 'locked' }
  | { readonly kind: 'refused' }
  /** Nothing keeps others from it. */
  | { readonly kind: 'unable'; readonly reason: string };

export class ImageLock {
  readonly #locks: OpenFileLocks;
  readonly #does: readonly number[];
  #isHeld = false;

  constructor(locks: OpenFileLocks, isReadOnly: boolean) {
    this.#locks = locks;
    this.#does = isReadOnly ? [READ] : [READ, WRITE];
  }

  /** Nothing is locked when it is refused. Idempotent. */
  take(): LockOutcome {
    if (this.#isHeld) return { kind: 'locked' };
    const outcome = this.#try();
    if (outcome.kind === 'locked') this.#isHeld = true;
    else this.#locks.release();
    return outcome;
  }

  /** Another may have it. */
  giveUp(): void {
    this.#isHeld = false;
    this.#locks.release();
  }

  #try(): LockOutcome {
    for (const at of [...this.#does.map((bit) => DOES + bit), ...UNBEARABLE.map((bit) => BEARS_NOT + bit)]) {
      const lock = this.#locks.share(at);
      if (lock.kind === 'taken') return { kind: 'refused' };
      if (lock.kind === 'unable') return { kind: 'unable', reason: lock.errno };
    }
    try {
      const isRefused =
        this.#does.some((bit) => this.#locks.isHeldByOthers(BEARS_NOT + bit)) ||
        UNBEARABLE.some((bit) => this.#locks.isHeldByOthers(DOES + bit));
      return { kind: isRefused ? 'refused' : 'locked' };
    } catch (error) {
      return { kind: 'unable', reason: explain(error) };
    }
  }
}

/** For who was refused: who has it. Of another host nothing is known. */
export async function explainRefusedLock(path: string): Promise<GodwitError> {
  const file = identifyFile(path);
  const lockers = file ? await findFileLockers(file) : [];
  const who = lockers.map(({ pid, command }) => `process ${pid} (${command})`).join(', ');
  const reason = `it is locked by ${who || 'somebody on another host, or a process that this user may not look into'}`;
  return new GodwitError('GW_DISK_UNUSABLE', { path, reason });
}
