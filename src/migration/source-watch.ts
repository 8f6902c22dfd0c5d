/**
 * What ends a migration at the source before its commit, other than the destination and the user.
 *
 * Owns: the time limits, the watch on QEMU's end, and what an error is to the handover. Must hold: after the commit
 * nothing here speaks up, because the VM is the destination's and the open RAM file still has every page.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { asGodwitError, type ErrorCode, GodwitError } from '../base/errors.ts';
import { isEnding } from '../qemu/process.ts';
import type { SourceEvent } from './handover-source-state.ts';
import { PeerWatch } from './peer-watch.ts';
import { isGivenAway } from './phases.ts';
import type { MigrationOptions } from './request.ts';
import type { SourceEnd } from './source-end.ts';
import type { SourceGuest } from './source-guest.ts';
import type { SourceParts } from './source-parts.ts';

/** Errors that a QEMU that ends makes of whatever was being done with it. */
const QEMU_ENDS: readonly ErrorCode[] = ['GW_QMP_CLOSED', 'GW_SYS_PROCESS_GONE', 'GW_QEMU_GONE'];

/** What an error before the commit is to the handover. Whatever an abort made fail, its reason is the reason. */
export async function sourceFailure({ beforeCommit, guest }: SourceParts, thrown: unknown): Promise<SourceEvent> {
  const { aborted, reason } = beforeCommit.signal;
  const error = asGodwitError(aborted ? reason : thrown);
  if (error.code === 'GW_MIGRATION_CANCELLED') return { kind: 'cancelled' };
  if (QEMU_ENDS.includes(error.code) && (await isEnding(guest.identity))) return qemuGone(guest);
  return { kind: 'failed', error: error.toBody() };
}

/** As long as a busy host takes to end its QEMU and to write that down. */
const LAST_WORDS_MS = 3000;

/** A destination that gives up lets no further connection in; why, the main one says. Resolves then, or when it says nothing. */
export async function lastWords({ beforeCommit, link }: SourceParts, error: unknown): Promise<void> {
  if (asGodwitError(error).code !== 'GW_WIRE_CLOSED' || !link.isConnected) return;
  await delay(LAST_WORDS_MS, undefined, { signal: beforeCommit.signal }).catch(() => undefined);
}

/** A connection that is closed while QEMU lives is no end of the VM. */
export function watchQemu({ guest, beforeCommit, events, phase, note }: SourceParts, end: SourceEnd): void {
  guest.qmp.closed
    .then(async (reason) => {
      if (end.isSettled || isGivenAway(phase())) return;
      const event: SourceEvent = (await isEnding(guest.identity))
        ? qemuGone(guest)
        : { kind: 'failed', error: reason.toBody() };
      if (end.isSettled || isGivenAway(phase())) return;
      events.post(event);
      beforeCommit.abort(GodwitError.fromBody(event.error));
    })
    .catch((error: unknown) => note(asGodwitError(error).message));
}

/** Without it the VM's requests could neither be cancelled nor sealed: it stays, and the daemon starts another one. */
export function watchDisks({ guest, beforeCommit, events, life, phase }: SourceParts): void {
  void guest.diskServer?.lost.then((error) => {
    if (life.signal.aborted || isGivenAway(phase())) return;
    events.post({ kind: 'failed', error: error.toBody() });
    beforeCommit.abort(error);
  });
}

/** 24 days; Node takes a longer time for a millisecond. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** A destination that fits creates its QEMU in seconds; one that says nothing for so long never will. */
const PREPARING_LIMIT_MS = 60_000;

/** A destination that neither refuses nor gets ready is given up. */
export function watchPreparing(parts: SourceParts): void {
  const { phase, progress } = parts;
  setTimeout(() => {
    if (phase() !== 'preparing' || progress.isWaiting) return;
    giveUp(parts, new GodwitError('GW_WIRE_TIMEOUT', { peer: parts.facts.to, timeoutMs: PREPARING_LIMIT_MS }));
  }, PREPARING_LIMIT_MS).unref();
}

/** `--timeout`: what was asked for happens at that moment, also in the middle of a round. */
export class TimeLimit {
  readonly #parts: SourceParts;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: SourceParts) {
    this.#parts = parts;
  }

  /** These count from now on; what happened at an earlier limit is not taken back. */
  set(options: Pick<MigrationOptions, 'timeoutMs' | 'onTimeout' | 'mode'>): void {
    clearTimeout(this.#timer);
    const { timeoutMs } = options;
    if (timeoutMs <= 0) return;
    const leftMs = timeoutMs - (SYSTEM_CLOCK.nowMs() - this.#parts.startedMs);
    // In steps: a timer cannot be set to more than this.
    const again = leftMs > LONGEST_TIMER_MS;
    const act = () => (again ? this.set(options) : this.#expire(options));
    this.#timer = setTimeout(act, Math.max(0, Math.min(leftMs, LONGEST_TIMER_MS))).unref();
  }

  #expire({ timeoutMs, onTimeout, mode }: Pick<MigrationOptions, 'timeoutMs' | 'onTimeout' | 'mode'>): void {
    const { copying, phase } = this.#parts;
    const now = phase();
    if (now !== 'preparing' && now !== 'copying') return;
    // While the destination still prepares it takes effect as soon as copying begins.
    if (onTimeout === 'pause') copying.interrupt('pause');
    else if (onTimeout === 'post-copy' && mode !== 'pre-copy') copying.interrupt('timeout');
    else giveUp(this.#parts, new GodwitError('GW_MIGRATION_TIMEOUT', { timeoutMs }));
  }
}

/** The guest stands still: longer than this and it is better off where it is. */
const STANDSTILL_LIMIT_MS = 15_000;
/** `--on-timeout pause` asks for a stop of whatever length it takes, within reason. */
const PAUSED_LIMIT_MS = 600_000;
/** Both sides hash all memory while the guest stands still; ten times slower than any machine does it. */
const SLOWEST_DIGEST_BYTES_PER_MS = 100_000;

/** From the stop until the destination has loaded the VM: before the commit the source is free to take it back. */
export function watchStandstill(parts: SourceParts): void {
  const { copying, guest, phase, verify } = parts;
  const limitMs = copying.isPaused ? PAUSED_LIMIT_MS : STANDSTILL_LIMIT_MS;
  const timeoutMs = limitMs + (verify ? guest.layout.bytes / SLOWEST_DIGEST_BYTES_PER_MS : 0);
  setTimeout(() => {
    if (phase() === 'stopping') giveUp(parts, new GodwitError('GW_MIGRATION_TIMEOUT', { timeoutMs }));
  }, timeoutMs).unref();
}

/** The guest stands still for a host that does nothing: it is not left so for as long as elsewhere. */
const LOADING_SILENCE_MS = 5000;

/**
 * This host has sent all, and the destination loads the VM: meanwhile it answers, but not while it hashes. Ends with the phase.
 * What a slow link still carries counts as a word from there: the answers come behind it.
 */
export function watchLoading(parts: SourceParts): void {
  const { guest, link, packing, phase, verify } = parts;
  let leastBytes = Number.POSITIVE_INFINITY;
  const watch = new PeerWatch({
    goneMs: LOADING_SILENCE_MS + (verify ? guest.layout.bytes / SLOWEST_DIGEST_BYTES_PER_MS : 0),
    ask: () => (phase() === 'stopping' ? link.ask() : watch[Symbol.dispose]()),
    heardBytes: () => {
      if (!link.isConnected) return 0;
      // Less than ever: a question to a host that hangs is acknowledged by its kernel, and makes no new least.
      leastBytes = Math.min(leastBytes, link.connection.unacknowledgedBytes + packing.channels.unacknowledgedBytes);
      return link.bytesReceived - leastBytes;
    },
    onGone: (timeoutMs) => {
      if (phase() === 'stopping')
        giveUp(parts, new GodwitError('GW_WIRE_TIMEOUT', { peer: parts.facts.to, timeoutMs }));
    },
  });
}

function giveUp({ events, beforeCommit }: SourceParts, error: GodwitError): void {
  events.post({ kind: 'failed', error: error.toBody() });
  beforeCommit.abort(error);
}

function qemuGone({ vm }: SourceGuest): Extract<SourceEvent, { kind: 'guestLost' }> {
  const error = new GodwitError('GW_QEMU_GONE', { vm: vm.name, reason: 'its process has ended' });
  return { kind: 'guestLost', error: error.toBody() };
}
