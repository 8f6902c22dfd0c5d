/**
 * Between the handover's words and the messages on the wire, at the destination. Pure.
 *
 * Owns: which of the source's messages the handover hears, and what is measured that goes along with its own. Must
 * hold: a message that no source may send to a destination ends the connection.
 */
import { GodwitError } from '../base/errors.ts';
import { availableDigestSchemes, type MemoryDigest } from '../memory/digest.ts';
import type { ReadyDisk } from '../wire/disk-messages.ts';
import { toWireError } from '../wire/message-fields.ts';
import type { ControlMessage, Message } from '../wire/messages.ts';
import type { DestinationMessage, SourceMessage } from './handover.ts';
import type { MissingPager } from './missing-pager.ts';

/** What was measured while the VM was loaded and resumed. */
export interface LoadingMeasurements {
  readonly notes: readonly string[];
  readonly disks: readonly ReadyDisk[];
  readonly digest: MemoryDigest | null;
  readonly digestMs: number;
  readonly loadMs: number;
  readonly resumeMs: number;
  readonly pager: MissingPager | undefined;
}

/** What the handover does not know of its own messages. */
export interface DestinationMeasurements extends LoadingMeasurements {
  readonly hostName: string;
  readonly epoch: number;
  /** This side was started anew on the way. */
  readonly interrupted: boolean;
}

/**
 * What the handover hears of a message; undefined when it is not meant for it.
 * @throws GW_WIRE_FRAME_INVALID
 */
export function hearSource(message: ControlMessage): SourceMessage | undefined {
  switch (message.kind) {
    case 'switchover':
    case 'commit':
      return message;
    case 'abort':
      return { ...message, error: GodwitError.fromBody(message.error).toBody() };
    case 'failed':
      return { kind: 'failed', error: GodwitError.fromBody(message.error).toBody() };
    case 'release':
    case 'offer':
      return { kind: message.kind };
    case 'roundEnd':
    case 'stopped':
    case 'stateEnd':
    case 'pong':
    case 'aborted':
      return undefined;
    default:
      throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: message.kind, reason: 'a destination expects none' });
  }
}

/** `unknown` is the listener's to say: a thread always knows its migration. */
export function sayToSource(
  message: Exclude<DestinationMessage, { kind: 'unknown' }>,
  measured: DestinationMeasurements,
): ControlMessage {
  const { pager } = measured;
  switch (message.kind) {
    case 'ready': {
      const { hostName, notes, disks } = measured;
      return readyMessage(hostName, notes, disks);
    }
    case 'loaded': {
      const { digest, loadMs, digestMs } = measured;
      return { kind: 'loaded', digest, loadMs, timings: { digest: digestMs } };
    }
    case 'resumed': {
      const { epoch, resumeMs } = measured;
      return { kind: 'resumed', epoch, resumedAtMs: message.resumedAtMs, timings: { resume: resumeMs } };
    }
    case 'allPresent':
      return {
        kind: 'allPresent',
        pages: pager?.expectedPages ?? 0,
        postCopy: pager?.statistics() ?? null,
        digest: pager?.digest() ?? null,
        timings: { reconnects: pager?.reconnects ?? 0, restarted: measured.interrupted ? 1 : 0 },
      };
    case 'refused':
    case 'failed':
      return { ...message, error: toWireError(GodwitError.fromBody(message.error)) };
    default:
      return message;
  }
}

/** @param disks - empty where none were offered */
export function readyMessage(host: string, notes: readonly string[], disks: readonly ReadyDisk[]): Message<'ready'> {
  const told = disks.length > 0 ? { disks: [...disks] } : {};
  return { kind: 'ready', host, digestSchemes: availableDigestSchemes(), notes: [...notes], ...told };
}
