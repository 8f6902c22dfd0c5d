/**
 * Further connections of a migration, as its source opens them.
 *
 * Owns: dialling and joining. Must hold: who is not wanted any more while it is on its way is closed at once, however
 * silent the other host is.
 */
import { GodwitError } from '../base/errors.ts';
import type { DialPolicy } from '../transfer/dial.ts';
import type { ControlMessage, JoinPurpose } from '../wire/messages.ts';
import { FEATURES, type OpenedConnection, openConnection, takeAnswer, whileWanted } from './opening.ts';
import { encodeJoin } from './source-offer.ts';

export interface OtherHost extends DialPolicy {
  readonly to: string;
  readonly hostName: string;
  /** What a further connection must show. */
  readonly sessionKey: string;
}

/** Its descriptor is the caller's. @throws GW_PEER_UNREACHABLE, GW_WIRE_…, what the destination says, the signal's reason */
export async function openFurther(
  host: OtherHost,
  purpose: Exclude<JoinPurpose, 'resume'>,
  signal: AbortSignal,
): Promise<number> {
  const opened = await openConnection(host.to, host.hostName, host, signal, FEATURES, 'framewise');
  try {
    const answer = await whileWanted(opened.connection, signal, () => join(opened, host, purpose));
    if (answer.kind === 'joined') return opened.connection.detach();
    throw answer.kind === 'refused' || answer.kind === 'failed'
      ? GodwitError.fromBody(answer.error)
      : new GodwitError('GW_WIRE_FRAME_INVALID', { frame: answer.kind, reason: 'it comes where joined must come' });
  } catch (error) {
    opened.connection.destroy();
    throw error;
  }
}

/** Says what the connection is for. Returns the destination's answer. */
export async function join(
  opened: OpenedConnection,
  { sessionKey, to }: OtherHost,
  purpose: JoinPurpose,
): Promise<ControlMessage> {
  await opened.connection.send(encodeJoin(sessionKey, purpose));
  return await takeAnswer(opened, to);
}
