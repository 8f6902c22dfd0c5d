/**
 * Slows vCPU threads by stopping and continuing them, where control groups cannot be used.
 *
 * Owns: a process (ptrace-throttle-child.ts) that traces the threads. A process, not a thread of this one: a thread
 * would hang together with this process and leave the vCPUs standing still, while the kernel lets traced threads go on
 * by itself as soon as their tracer has ended. Each line on its pipe is the slowdown and renews the lease.
 * Must hold: QEMU is traced by nobody else; its main thread is never traced, so the injection of system calls there
 * (ptrace.ts) goes on working.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { GodwitError } from '../base/errors.ts';
import { programFile } from '../base/program-file.ts';
import { OwnedPipe } from './owned-pipe.ts';
import { identifyProcess, isAlive, type ProcessIdentity } from './process.ts';
import { withStoppedThread } from './ptrace.ts';
import { raw } from './raw.ts';
import { RENEWAL_MS } from './throttle-lease.ts';
import { clampSlowdown, type VcpuThrottle } from './vcpu-throttle.ts';

/** A killed process ends within a millisecond or two; more than this means the machine is stuck. */
const END_ATTEMPTS = 500;
const END_PAUSE_MICROSECONDS = 200;

interface Tracer {
  readonly process: ChildProcess;
  readonly identity: ProcessIdentity | undefined;
  readonly pipe: OwnedPipe;
  readonly timer: NodeJS.Timeout;
}

export class PtraceThrottle implements VcpuThrottle {
  readonly mechanism = 'ptrace';
  readonly #qemu: ProcessIdentity;
  readonly #tids: readonly number[];
  #tracer: Tracer | undefined;
  #percent = 0;
  #released = false;

  /** Throws GW_SYS_INJECT when the threads may not be traced. */
  constructor(qemu: ProcessIdentity, tids: readonly number[]) {
    this.#qemu = qemu;
    this.#tids = tids;
    for (const tid of tids) withStoppedThread(tid, () => undefined);
  }

  get percent(): number {
    return this.#percent;
  }

  set(slowdownPercent: number): void {
    if (this.#released) return;
    if (!isAlive(this.#qemu)) {
      this.release();
      return;
    }
    this.#percent = clampSlowdown(slowdownPercent);
    if (this.#tracer === undefined && this.#percent === 0) return;
    this.#tracer ??= this.#start();
    if (this.#send()) return;
    // The lease ran out, or somebody killed the tracer: the threads run freely. Begin anew.
    this.#end();
    this.#percent = clampSlowdown(slowdownPercent);
    this.#tracer = this.#start();
    this.#send();
  }

  release(): void {
    this.#released = true;
    this.#end();
  }

  [Symbol.dispose](): void {
    this.release();
  }

  #start(): Tracer {
    const pipe = new OwnedPipe();
    const words = [fileURLToPath(programFile('linux/ptrace-throttle-child')), ...this.#tids.map(String)];
    const child = spawn(process.execPath, words, { detached: true, stdio: [pipe.readFd, 'ignore', 'ignore'] });
    pipe.closeRead();
    // A failed start is known at once by the absent pid; the event only repeats it.
    child.on('error', () => pipe.close());
    if (child.pid === undefined) {
      pipe.close();
      throw new GodwitError('GW_SYS_UNSUPPORTED', {
        feature: 'slowing of vCPUs by ptrace',
        reason: `${process.execPath} cannot be started`,
      });
    }
    child.unref();
    const timer = setInterval(() => this.#renew(), RENEWAL_MS);
    timer.unref();
    return { process: child, identity: identifyProcess(child.pid), pipe, timer };
  }

  #send(): boolean {
    return this.#tracer?.pipe.write(`${this.#percent}\n`) === true;
  }

  #renew(): void {
    if (!this.#send()) this.#end();
  }

  /** Ends the tracer and waits until it has ended, because only then do the threads run. */
  #end(): void {
    const tracer = this.#tracer;
    this.#tracer = undefined;
    this.#percent = 0;
    if (tracer === undefined) return;
    clearInterval(tracer.timer);
    tracer.pipe.close();
    tracer.process.kill('SIGKILL');
    for (let attempt = 0; attempt < END_ATTEMPTS; attempt++) {
      if (tracer.identity === undefined || !isAlive(tracer.identity)) return;
      // SAFETY: no memory; blocks this thread for 0.2 ms.
      raw.usleep(END_PAUSE_MICROSECONDS);
    }
  }
}
