/**
 * What a migration's thread does before it has anything to do: everything that is slow the first time.
 *
 * Owns: rehearsing the messages of the switchover. A schema is compiled at its first use, which costs a millisecond
 * or so, and the switchover's messages are first used while the VM stands still.
 */

import { FrameType } from '../wire/frame-types.ts';
import { FRAME_HEADER_BYTES } from '../wire/limits.ts';
import { decodeControl, encodeControl } from '../wire/message-codec.ts';
import type { ControlMessage } from '../wire/messages.ts';

const REHEARSED: readonly ControlMessage[] = [
  { kind: 'roundEnd', round: 1 },
  { kind: 'roundAck', round: 1 },
  { kind: 'switchover', wasRunning: true, pagesMissing: true, history: [{ atMs: 1, pagesPerSecond: 1 }] },
  { kind: 'stopped' },
  {
    kind: 'stateEnd',
    bytes: 1,
    stoppedAtMs: 1,
    clockOffsetMs: 0,
    clockUncertaintyMs: 0,
    lastPages: 0,
    missingPages: 0,
    digest: null,
  },
  { kind: 'loaded', digest: null, loadMs: 1, timings: { digest: 0 } },
  { kind: 'commit', epoch: 1 },
  { kind: 'resumed', epoch: 1, resumedAtMs: 1, timings: { resume: 1 } },
];
/** Often enough for the engine to stop interpreting. */
const TIMES = 20;

export function warmUp(): void {
  for (let i = 0; i < TIMES; i++) {
    for (const message of REHEARSED) {
      decodeControl(FrameType[message.kind], encodeControl(message).subarray(FRAME_HEADER_BYTES));
    }
  }
}
