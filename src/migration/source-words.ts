/**
 * Between the handover's words and the messages on the wire, at the source. Pure.
 *
 * Owns: which of the destination's messages the handover hears, and how errors cross the wire. Must hold: a message
 * that no destination may send to a source ends the connection; what only carries measurements stays out of here.
 */
import { GodwitError } from '../base/errors.ts';
import { toWireError } from '../wire/message-fields.ts';
import type { ControlMessage } from '../wire/messages.ts';
import type { DestinationMessage, SourceMessage } from './handover.ts';

/**
 * What the handover hears of a message; undefined when it is not meant for it.
 * @throws GW_WIRE_FRAME_INVALID
 */
export function hearDestination(message: ControlMessage): DestinationMessage | undefined {
  switch (message.kind) {
    case 'refused':
      return { kind: 'refused', error: GodwitError.fromBody(message.error).toBody() };
    case 'failed':
      return { ...message, error: GodwitError.fromBody(message.error).toBody() };
    case 'loaded':
      return { kind: 'loaded' };
    case 'ready':
    case 'notReady':
    case 'resumed':
    case 'allPresent':
    case 'aborted':
      return message;
    case 'begin':
    case 'released':
      return undefined;
    default:
      throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: message.kind, reason: 'a source expects none' });
  }
}

/** All but those that describe the VM: source-offer.ts, and the switchover with its history. */
export function sayToDestination(message: Exclude<SourceMessage, { kind: 'offer' | 'switchover' }>): ControlMessage {
  if (!('error' in message)) return message;
  const error = toWireError(GodwitError.fromBody(message.error));
  return message.kind === 'failed' ? { kind: 'failed', owned: false, error } : { ...message, error };
}
