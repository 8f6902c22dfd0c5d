/**
 * Control messages to bytes and back.
 *
 * Owns: the JSON form of a control frame. Must hold: what leaves here as a message has passed its schema, in both
 * directions: a message of ours that the peer would refuse is GW_INTERNAL on the side that made it.
 */
import { GodwitError } from '../base/errors.ts';
import { encodeFrameHeader, FRAMES, type FrameName, type FrameType, frameName, invalidFrame } from './frame-types.ts';
import { FRAME_HEADER_BYTES } from './limits.ts';
import { type ControlMessage, MESSAGES } from './messages.ts';

/** Enough for a path and zod's words; the peer's own words could be a megabyte long. */
const MAX_REASON_LENGTH = 300;

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** A whole control frame. Throws GW_INTERNAL when the message does not keep the bounds of its schema. */
export function encodeControl(message: ControlMessage): Uint8Array {
  const { kind, ...body } = message;
  const checked = MESSAGES[kind].safeParse(body);
  if (!checked.success) {
    const reason = `cannot send ${kind}: ${firstIssue(checked.error.issues)}`;
    throw new GodwitError('GW_INTERNAL', { reason }, { cause: checked.error });
  }
  const json = new TextEncoder().encode(JSON.stringify(body));
  const bytes = encodeFrameHeader(kind, json.length, json.length);
  bytes.set(json, FRAME_HEADER_BYTES);
  return bytes;
}

/** Whether a frame of this type is for `decodeControl`. */
export function isControl(type: FrameType): boolean {
  return FRAMES[frameName(type)].payload === 'json';
}

/** @throws GW_WIRE_FRAME_INVALID naming the first field that is wrong */
export function decodeControl(type: FrameType, payload: Uint8Array): ControlMessage {
  const kind = frameName(type);
  if (!isMessageName(kind)) throw invalidFrame(kind, 'it is not a control message');
  const checked = MESSAGES[kind].safeParse(parseJson(kind, payload));
  if (!checked.success) throw invalidFrame(kind, firstIssue(checked.error.issues), checked.error);
  return { kind, ...checked.data } as ControlMessage;
}

function isMessageName(name: FrameName): name is ControlMessage['kind'] {
  return Object.hasOwn(MESSAGES, name);
}

function parseJson(kind: FrameName, payload: Uint8Array): unknown {
  try {
    return JSON.parse(UTF8.decode(payload));
  } catch (error) {
    throw invalidFrame(kind, 'it is not JSON in UTF-8', error);
  }
}

function firstIssue(issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]): string {
  const issue = issues[0]!;
  const path = issue.path.length === 0 ? 'the message' : issue.path.join('.');
  return `${path}: ${issue.message}`.slice(0, MAX_REASON_LENGTH);
}
