/**
 * How a source finds its destination again after the connection was lost.
 *
 * Must hold: it tries until the destination answers or the migration's life ends, because the destination may hold the VM; what
 * goes wrong is told once, not at every try.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { asGodwitError } from '../base/errors.ts';
import { join } from './further-connections.ts';
import { type OpenedConnection, openConnection } from './opening.ts';
import type { SourceLinkPort } from './source-link.ts';

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

/**
 * @param use - takes the connection and opens what else is needed; if it fails the connection is dropped and dialled again
 * @returns whether the destination knows the migration
 */
export async function redial(
  port: SourceLinkPort,
  use: (opened: OpenedConnection) => Promise<void>,
): Promise<'joined' | 'unknown' | 'ended'> {
  const { to, hostName, life } = port;
  for (let pauseMs = FIRST_PAUSE_MS, told = ''; !life.aborted; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    let opened: OpenedConnection | undefined;
    try {
      opened = await openConnection(to, hostName, port, life);
      const answer = await join(opened, port, 'resume');
      if (answer.kind === 'joined') {
        await use(opened);
        if (!opened.connection.isClosed) return 'joined';
      }
      opened.connection.destroy();
      if (answer.kind === 'refused' && answer.error.code === 'GW_PEER_UNKNOWN_SESSION') return 'unknown';
    } catch (error) {
      // Whatever it was, the only way on is another try.
      const text = asGodwitError(error).message;
      if (text !== told && !life.aborted) port.note(text);
      told = text;
      opened?.connection.destroy();
    }
    await delay(pauseMs, undefined, { signal: life }).catch(() => undefined);
  }
  return 'ended';
}
