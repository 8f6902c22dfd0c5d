/**
 * The promise that a slowed VM is back at full speed soon after its migration's process dies or hangs.
 *
 * Owns: a watchdog (bash, in a session of its own, so that neither a terminal nor our process group takes it along) and
 * the write end of the pipe that it reads. A renewal is one line. When the pipe closes, or no line comes for
 * `LEASE_MS`, the watchdog itself lifts the limits, moves the threads to the group above and removes the directories:
 * what `removeThrottleGroup` does.
 * Must hold: the write end is inherited by nobody, or the pipe would not close with us; the watchdog closes its end
 * before it acts, so that a renewal which comes too late fails instead of seeming to succeed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { GodwitError } from '../base/errors.ts';
import type { CpuController } from './cgroup.ts';
import { OwnedPipe } from './owned-pipe.ts';

/** Shorter than what a person notices as a stuck VM, longer than any pause of a healthy thread (garbage, a busy CPU). */
export const LEASE_MS = 1500;
/** Three in a lease: two may be late. */
export const RENEWAL_MS = 450;

const WATCHDOG = `
  trap 'exec 0<&-' TERM HUP INT
  threads=$1 limit=$2 unlimited=$3
  shift 3
  while IFS= read -r -t ${LEASE_MS / 1000} line; do [ "$line" = end ] && exit 0; done
  exec 0<&-
  for root; do
    for group in "$root" "$root"/*/; do echo "$unlimited" > "$group/$limit"; done
    for group in "$root" "$root"/*/; do
      mapfile -t tids < "$group/$threads"
      for tid in "\${tids[@]}"; do echo "$tid" > "\${root%/*}/$threads"; done
    done
    for attempt in 1 2 3 4 5; do
      rmdir "$root"/*/ "$root"
      [ -d "$root" ] || break
      sleep 0.05
    done
  done`;

export class ThrottleLease {
  readonly #pipe: OwnedPipe;
  readonly #watchdog: ChildProcess;

  /** @param directories outermost directories of the throttle */
  constructor(controller: CpuController, directories: readonly string[]) {
    const { threadsFile, limitFile, unlimited } = controller;
    this.#pipe = new OwnedPipe();
    const words = ['-c', WATCHDOG, 'godwit-watchdog', threadsFile, limitFile, unlimited, ...directories];
    this.#watchdog = spawn('bash', words, { detached: true, stdio: [this.#pipe.readFd, 'ignore', 'ignore'] });
    this.#pipe.closeRead();
    // A failed start is known at once by the absent pid; the event only repeats it.
    this.#watchdog.on('error', () => this.#pipe.close());
    if (this.#watchdog.pid === undefined) {
      this.#pipe.close();
      const reason = 'bash, which watches over the slowdown, cannot be started';
      throw new GodwitError('GW_SYS_UNSUPPORTED', { feature: 'CPU limits with cgroups', reason });
    }
    this.#watchdog.unref();
  }

  /** False when the lease has run out: the watchdog has restored full speed, or is no more. */
  renew(): boolean {
    return this.#pipe.write('renew\n');
  }

  /** The owner has restored full speed itself. Idempotent. */
  end(): void {
    this.#pipe.write('end\n');
    this.#pipe.close();
  }
}
