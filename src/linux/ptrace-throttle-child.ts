/**
 * The program of the process that slows threads by ptrace: `node ptrace-throttle-child.ts TID…`, started by
 * ptrace-throttle.ts alone.
 *
 * Owns: the tracing of the threads. Reads the slowdown in percent, one per line, from standard input.
 * Must hold: it ends when the input closes or nothing comes for the time of a lease, and with it ends the tracing,
 * whatever state a thread is in; it never waits for one thread, so that one stuck in the kernel does not hold up the
 * others; every signal that a thread receives is passed on at once.
 * https://man7.org/linux/man-pages/man2/ptrace.2.html
 */
import {
  PTRACE_CONT,
  PTRACE_EVENT_STOP,
  PTRACE_INTERRUPT,
  PTRACE_LISTEN,
  PTRACE_SEIZE,
  SIGTRAP,
} from './abi/ptrace.ts';
import { call, raw } from './raw.ts';
import { LEASE_MS } from './throttle-lease.ts';
import { lookAtThread } from './traced-thread.ts';

/** One run and one pause together; longer where the run would be shorter than the shortest timer. */
const PERIOD_MS = 20;
const MIN_RUN_MS = 1;
/** Lateness that is made good in later pauses; more of it (a suspended machine) is forgotten. */
const MAX_CARRY_MS = 200;

/** The threads traced; true while one stands still by our wish. */
const threads = new Map<number, boolean>();
let slowdown = 0;
let pausing = false;
let phaseStartMs = performance.now();
/** How much longer the pauses so far were than they should have been. */
let carryMs = 0;
let phase: NodeJS.Timeout | undefined;
let lease = setTimeout(quit, LEASE_MS);

// Before the first thread can stop. A thread's stop is a SIGCHLD to its tracer.
process.on('SIGCHLD', onStops);
for (const word of process.argv.slice(2)) {
  const tid = Number(word);
  // SAFETY: no memory; does not block.
  call('ptrace(PTRACE_SEIZE)', raw.ptrace(PTRACE_SEIZE, tid, null, null));
  threads.set(tid, false);
}
process.stdin.on('data', (chunk: Buffer) => {
  clearTimeout(lease);
  lease = setTimeout(quit, LEASE_MS);
  const wanted = Number(chunk.toString().trimEnd().split('\n').at(-1));
  if (wanted === slowdown) return;
  slowdown = wanted;
  resumeAll();
});
process.stdin.on('end', quit);

function pauseAll(): void {
  const ranMs = performance.now() - phaseStartMs;
  pausing = true;
  phaseStartMs = performance.now();
  for (const [tid, stopped] of threads) {
    // SAFETY: no memory; does not block. Fails where the thread has ended, which a SIGCHLD tells as well.
    if (!stopped) raw.ptrace(PTRACE_INTERRUPT, tid, null, null);
  }
  const owedMs = (ranMs * slowdown) / (100 - slowdown) - carryMs;
  carryMs = -owedMs;
  phase = setTimeout(resumeAll, Math.max(0, owedMs));
}

function resumeAll(): void {
  clearTimeout(phase);
  const now = performance.now();
  if (pausing) carryMs = Math.min(MAX_CARRY_MS, Math.max(-MAX_CARRY_MS, carryMs + now - phaseStartMs));
  pausing = false;
  phaseStartMs = now;
  for (const [tid, stopped] of threads) {
    if (stopped) resume(tid, 0);
  }
  if (slowdown > 0) phase = setTimeout(pauseAll, Math.max(MIN_RUN_MS, (PERIOD_MS * (100 - slowdown)) / 100));
}

/** Looks at all threads: one SIGCHLD may stand for several. */
function onStops(): void {
  for (const tid of threads.keys()) {
    const state = lookAtThread(tid);
    if (state.kind === 'ended') threads.delete(tid);
    // A signal that came before our interrupt took effect: that is still to come.
    if (state.kind === 'signal') resume(tid, state.signal);
    if (state.kind === 'systemCall') resume(tid, 0);
    if (state.kind === 'event') onEvent(tid, state.event, state.signal);
  }
  if (threads.size === 0) quit();
}

function onEvent(tid: number, event: number, signal: number): void {
  if (event !== PTRACE_EVENT_STOP) {
    resume(tid, 0);
  } else if (signal !== SIGTRAP) {
    // Somebody stopped the process by SIGSTOP: it stays stopped until SIGCONT.
    // SAFETY: no memory; does not block.
    raw.ptrace(PTRACE_LISTEN, tid, null, null);
  } else {
    threads.set(tid, true);
    // It took so long to stop that the pause is over.
    if (!pausing) resume(tid, 0);
  }
}

function resume(tid: number, signal: number): void {
  threads.set(tid, false);
  // SAFETY: no memory; does not block. Fails where the thread has ended, which a SIGCHLD tells as well.
  raw.ptrace(PTRACE_CONT, tid, null, signal);
}

/** At once, without the exit handlers of Node: the kernel ends the tracing. */
function quit(): void {
  process.kill(process.pid, 'SIGKILL');
}
