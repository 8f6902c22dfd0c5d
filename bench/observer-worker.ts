/**
 * The observer's loop; see observer.ts.
 *
 * Must hold: sleeps between looks (there are as many guests and daemons as CPUs), and with a higher priority than
 * those, so that it wakes up in time.
 */
import { setPriority } from 'node:os';
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { readCpuSeconds } from './cpu-time.ts';
import type { Side } from './network.ts';
import type { Observation, ObserverRequest } from './observer.ts';
import { readProgress } from './progress-page.ts';

const INTERVAL_MS = 1;
/** Reading /proc costs more than reading a counter. */
const CPU_INTERVAL_MS = 25;
/** Above everything with the usual priority; the thread hardly uses any CPU. */
const NICE = -15;

interface WatchedGuest {
  readonly ramFd: number;
  readonly offset: number;
  readonly times: number[];
  readonly values: number[];
}

interface WatchedProcess {
  readonly side: Side;
  readonly pid: number;
  readonly vcpuTids: readonly number[];
  seconds: number;
}

const guests: Partial<Record<Side, WatchedGuest>> = {};
const processes: WatchedProcess[] = [];
const cpu = { source: emptySeries(), destination: emptySeries() };
const scratch = Buffer.alloc(16);
const never = new Int32Array(new SharedArrayBuffer(4));

const port = parentPort;
if (port === null) throw new Error('observer-worker.ts is a worker');
setPriority(NICE);
let nextCpuMs = 0;
for (let finished = false; !finished; ) {
  finished = takeRequests();
  const nowMs = performance.timeOrigin + performance.now();
  lookAtGuests(nowMs);
  if (nowMs >= nextCpuMs || finished) {
    nextCpuMs = nowMs + CPU_INTERVAL_MS;
    lookAtProcesses(nowMs);
  }
  if (!finished) Atomics.wait(never, 0, 0, INTERVAL_MS);
}
const nothing = emptySeries();
const progress = { source: guests.source ?? nothing, destination: guests.destination ?? nothing };
port.postMessage({ progress, cpu } satisfies Observation);

/** True when it is to finish. */
function takeRequests(): boolean {
  for (;;) {
    const received = receiveMessageOnPort(port!) as { message: ObserverRequest } | undefined;
    if (received === undefined) return false;
    const request = received.message;
    if (request.kind === 'finish') return true;
    if (request.kind === 'watchGuest') {
      guests[request.side] = { ramFd: request.ramFd, offset: request.offset, times: [], values: [] };
    } else {
      processes.push({ side: request.side, pid: request.pid, vcpuTids: request.vcpuTids, seconds: 0 });
    }
  }
}

function lookAtGuests(nowMs: number): void {
  for (const guest of Object.values(guests)) {
    const value = readProgress(guest.ramFd, guest.offset, scratch);
    if (value === guest.values.at(-1)) continue;
    guest.times.push(nowMs);
    guest.values.push(value);
  }
}

/** A process that has ended keeps what it had used when it was last seen. */
function lookAtProcesses(nowMs: number): void {
  for (const process of processes) {
    process.seconds = readCpuSeconds(process.pid, process.vcpuTids) ?? process.seconds;
  }
  for (const side of ['source', 'destination'] as const) {
    const seconds = processes.filter((process) => process.side === side).reduce((sum, each) => sum + each.seconds, 0);
    cpu[side].times.push(nowMs);
    cpu[side].values.push(seconds);
  }
}

function emptySeries(): { times: number[]; values: number[] } {
  return { times: [], values: [] };
}
