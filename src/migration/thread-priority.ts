/**
 * Threads that a VM waits for come first, and those that it competes with come last.
 *
 * Owns: the policy and the nice value of the calling thread. Linux's setpriority(2) with 0 means the calling thread, not
 * the process.
 * Must hold: without the privilege to come back nobody gives way; who gives way is not starved: on a host that has
 * more to do than CPUs, moving a VM away is what helps; a peer that asks without end does not get a CPU for itself.
 */
import { setPriority } from 'node:os';
import { becomeRealTime, endRealTime } from '../linux/real-time.ts';
import { readOwnTime, type ThreadTime } from '../linux/thread-time.ts';

/** Before other threads of the same host, the ones that push pages among them; after real-time threads. */
const URGENT_NICE = -15;
const ORDINARY_NICE = 0;
/** A tenth of an ordinary thread's share, where CPUs are scarce: the guests of this host are such threads. */
const PATIENT_NICE = 10;
/** Beside one guest on two CPUs the two sides of a migration wait for half of their time. */
const STARVED_SHARE = 0.75;
/** One vCPU that waits for page after page keeps the threads of both hosts busy for half of the time. */
const ALERT_SHARE = 0.7;
/** Shorter moments say nothing. */
const JUDGED_MS = 100;

/** Somebody stands still until this thread is done. Without the privilege nothing happens. */
export function becomeUrgent(): void {
  isPermitted(URGENT_NICE);
}

/** As threads are. */
export function becomeOrdinary(): void {
  isPermitted(ORDINARY_NICE);
}

/** Copying while the guest runs: the guests' CPUs come first, as long as some are left. */
export class Patience {
  #since: ThreadTime | undefined;
  #nextMs = 0;
  #isAwaited = false;

  /** What threads that work for this one are to be. */
  get role(): ThreadRole {
    return this.#isAwaited ? 'urgent' : 'copying';
  }

  begin(): void {
    if (this.#isAwaited) return;
    this.#since = readOwnTime();
    this.#nextMs = performance.now() + JUDGED_MS;
    if (this.#since && isPermitted(URGENT_NICE)) isPermitted(PATIENT_NICE);
  }

  /** Called now and then by the same thread. Once starved it gives way no more. */
  reconsider(): void {
    if (!this.#since || performance.now() < this.#nextMs) return;
    const now = readOwnTime()!;
    this.#nextMs = performance.now() + JUDGED_MS;
    const waitedMs = now.waitedMs - this.#since.waitedMs;
    const wantedMs = waitedMs + now.ranMs - this.#since.ranMs;
    if (wantedMs < JUDGED_MS) return;
    this.#since = now;
    if (waitedMs <= STARVED_SHARE * wantedMs) return;
    this.end();
    becomeOrdinary();
  }

  /** The thread has another priority from now on. */
  end(): void {
    this.#since = undefined;
  }

  /** A VM stands still until this thread has done its work, whatever that is: it never gives way again. */
  hurry(): void {
    this.end();
    this.#isAwaited = true;
    becomeUrgent();
  }
}

/** What a thread that carries pages is told to be. `copying`: guests come first. `urgent`: a VM stands still. */
export type ThreadRole = 'copying' | 'urgent' | 'ordinary';

/** The role of the calling thread, which others give it. */
export class ThreadDuty {
  readonly #patience = new Patience();

  take(role: ThreadRole): void {
    this.#patience.end();
    if (role === 'copying') this.#patience.begin();
    else if (role === 'urgent') becomeUrgent();
    else becomeOrdinary();
  }

  /** Called now and then by the same thread. */
  reconsider(): void {
    this.#patience.reconsider();
  }
}

/**
 * Serving page faults: each keeps a vCPU waiting for as long as it takes both hosts to run their threads, and even the
 * lowest nice value lets others finish their slice of some milliseconds first. So these threads are real-time ones, as
 * long as they mostly wait.
 */
export class Alertness {
  #since: ThreadTime | undefined;
  #sinceMs = 0;
  #isAlert = false;

  /** Without the privilege, or where the kernel does not tell what a thread takes, it is urgent only. */
  begin(): void {
    becomeUrgent();
    const since = readOwnTime();
    this.#isAlert = since !== undefined && becomeRealTime();
    this.#since = this.#isAlert ? since : undefined;
    this.#sinceMs = performance.now();
  }

  /** Called now and then by the same thread. One that has taken too much is an ordinary one, until it takes less. */
  reconsider(): void {
    const nowMs = performance.now();
    if (!this.#since || nowMs < this.#sinceMs + JUDGED_MS) return;
    const now = readOwnTime()!;
    const mayBeAlert = now.ranMs - this.#since.ranMs <= ALERT_SHARE * (nowMs - this.#sinceMs);
    this.#since = now;
    this.#sinceMs = nowMs;
    if (mayBeAlert === this.#isAlert) return;
    if (mayBeAlert) {
      becomeUrgent();
      this.#isAlert = becomeRealTime();
    } else {
      endRealTime();
      becomeOrdinary();
      this.#isAlert = false;
    }
  }
}

function isPermitted(nice: number): boolean {
  try {
    setPriority(0, nice);
    return true;
  } catch (error) {
    const { code } = (error as { info?: { code?: string } }).info ?? {};
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    return false;
  }
}
