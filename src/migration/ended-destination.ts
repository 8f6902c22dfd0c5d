/**
 * Answers for incoming migrations that have ended: a source that was away for long comes back and asks what became of
 * its VM.
 *
 * Owns: the connections on which it is answered, in the daemon's main thread, because nothing is done but talking.
 * Must hold: the journal's last state answers, by the handover's own steps; nothing is written, no QEMU is touched, and
 * no report changes. Few are answered at once, and each for a short time: a source needs a round trip, and can dial again.
 */
import { GodwitError, hasCode } from '../base/errors.ts';
import type { Connection } from '../transfer/connection.ts';
import { StreamConnection } from '../transfer/stream-connection.ts';
import type { ControlMessage, Message } from '../wire/messages.ts';
import { hearSource, type LoadingMeasurements, sayToSource } from './destination-words.ts';
import { routeFrames, sendControl } from './frame-router.ts';
import { stepDestination } from './handover-destination.ts';
import type { DestinationState } from './handover-destination-state.ts';
import { readJournal } from './journal.ts';
import { lastDestinationState } from './journal-facts.ts';
import type { JoinAnswer } from './listener.ts';

/** Two for each source: post-copy has an urgent connection beside the main one. */
const MAX_CONNECTIONS = 32;
const ANSWERING_LIMIT_MS = 30_000;

/** What was measured is in the report; here nobody measured anything. */
const NOTHING_MEASURED: LoadingMeasurements = {
  notes: [],
  disks: [],
  digest: null,
  digestMs: 0,
  loadMs: 0,
  resumeMs: 0,
  pager: undefined,
};

export class EndedDestinations {
  readonly #hostName: string;
  #connections = 0;

  constructor(hostName: string) {
    this.#hostName = hostName;
  }

  /**
   * `notNow`: there is more to say than the journal knows, or too many ask at once.
   *
   * @param path - of the migration's journal
   * @param takeFd - hands the connection over, if it is wanted
   */
  join(path: string, purpose: Message<'join'>['purpose'], takeFd: () => number, peer: string): JoinAnswer {
    const found = lastState(path);
    if (typeof found === 'string') return found;
    if (this.#connections >= MAX_CONNECTIONS) return 'notNow';
    const connection = StreamConnection.fromFd(takeFd(), { peer, peerRole: 'source', preface: 'seen' });
    this.#count(connection);
    sendControl(connection, { kind: 'joined', phase: found.phase, epoch: found.epoch });
    // On the urgent connection a destination asks, and this one lacks nothing.
    if (purpose === 'resume') this.#answer(connection, found);
    else connection.receive(() => undefined);
    return 'taken';
  }

  #count(connection: Connection): void {
    this.#connections++;
    const limit = setTimeout(() => connection.close(), ANSWERING_LIMIT_MS);
    limit.unref();
    const over = (): void => {
      clearTimeout(limit);
      this.#connections--;
    };
    connection.closed.then(over, over);
  }

  #answer(connection: Connection, first: DestinationState): void {
    let state = first;
    routeFrames(connection, {
      control: (message: ControlMessage) => {
        const heard = hearSource(message);
        if (!heard) return;
        const step = stepDestination(state, { kind: 'received', message: heard });
        if (step.kind === 'refused') throw new GodwitError(step.code, { phase: step.phase, event: step.event });
        state = step.state;
        for (const effect of step.effects) {
          if (effect.kind !== 'send' || effect.message.kind === 'unknown') continue;
          const measured = { ...NOTHING_MEASURED, hostName: this.#hostName, epoch: state.epoch, interrupted: true };
          sendControl(connection, sayToSource(effect.message, measured));
        }
      },
      binary: (frame) => {
        throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame, reason: 'the migration has ended' });
      },
    });
  }
}

function lastState(path: string): DestinationState | 'unknown' | 'notNow' {
  try {
    return lastDestinationState(readJournal(path)) ?? 'notNow';
  } catch (error) {
    // Only so many migrations are remembered.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'unknown';
    // Nor must its source be told that nobody knows it, before a person has looked.
    if (hasCode(error, 'GW_JOURNAL_CORRUPT')) return 'notNow';
    throw error;
  }
}
