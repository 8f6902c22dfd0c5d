/**
 * How two hosts agree on a version and on features: one step function for each side.
 *
 * Owns: the rule. The dialer says hello with the versions that it speaks; the listener takes the highest that both
 * speak and the features that both have, and says welcome, or says refused. docs/protocol.md has the diagram.
 * Must hold: the dialer accepts no version and no feature that it did not offer.
 */
import { GodwitError } from '../base/errors.ts';
import { invalidFrame } from './frame-types.ts';
import { MIN_PROTOCOL_VERSION, PROTOCOL_VERSION } from './limits.ts';
import { toWireError } from './message-fields.ts';
import type { ControlMessage, Message } from './messages.ts';

/** What this host says of itself. */
export interface LocalPeer {
  /** The host's name. */
  readonly host: string;
  /** Name and version of the software, for messages only: nothing may depend on it. */
  readonly software: string;
  /** What this host can do and both must know to do; unknown names are ignored by the other side. */
  readonly features: readonly string[];
  readonly minVersion: number;
  readonly maxVersion: number;
}

/** What was agreed on. */
export interface Agreement {
  readonly version: number;
  /** Sorted. */
  readonly features: readonly string[];
  /** The other host's name, as it says. */
  readonly host: string;
}

export type DialerStep =
  | { readonly kind: 'agreed'; readonly agreement: Agreement; readonly peerWallMs: number }
  | { readonly kind: 'failed'; readonly error: GodwitError };

export type ListenerStep =
  | { readonly kind: 'agreed'; readonly agreement: Agreement; readonly send: Message<'welcome'> }
  /** Send it, then close. */
  | { readonly kind: 'refused'; readonly error: GodwitError; readonly send: Message<'refused'> };

/** This host with the versions of this build. */
export function localPeer(host: string, software: string, features: readonly string[]): LocalPeer {
  return { host, software, features, minVersion: MIN_PROTOCOL_VERSION, maxVersion: PROTOCOL_VERSION };
}

/** The dialer's first message. */
export function hello(local: LocalPeer): Message<'hello'> {
  return {
    kind: 'hello',
    minVersion: local.minVersion,
    maxVersion: local.maxVersion,
    features: local.features,
    host: local.host,
    software: local.software,
  };
}

/** The dialer's step on the listener's first message. */
export function stepDialer(local: LocalPeer, message: ControlMessage): DialerStep {
  if (message.kind === 'refused') return { kind: 'failed', error: GodwitError.fromBody(message.error) };
  if (message.kind !== 'welcome') {
    return { kind: 'failed', error: invalidFrame(message.kind, 'it comes where welcome must come') };
  }
  const { version, features, host, wallMs } = message;
  if (version < local.minVersion || version > local.maxVersion) {
    return { kind: 'failed', error: versionError(local, String(version)) };
  }
  const unasked = features.find((feature) => !local.features.includes(feature));
  if (unasked !== undefined) {
    return { kind: 'failed', error: invalidFrame('welcome', `it has the feature ${unasked}, which nobody offered`) };
  }
  return { kind: 'agreed', agreement: { version, features: features.toSorted(), host }, peerWallMs: wallMs };
}

/** The listener's step on the dialer's first message. */
export function stepListener(local: LocalPeer, message: ControlMessage, wallMs: number): ListenerStep {
  if (message.kind !== 'hello') return refuse(invalidFrame(message.kind, 'it comes where hello must come'));
  const version = Math.min(local.maxVersion, message.maxVersion);
  if (version < local.minVersion || version < message.minVersion) {
    return refuse(versionError(local, `${message.minVersion} to ${message.maxVersion}`));
  }
  const features = local.features.filter((feature) => message.features.includes(feature)).toSorted();
  return {
    kind: 'agreed',
    agreement: { version, features, host: message.host },
    send: { kind: 'welcome', version, features, host: local.host, wallMs },
  };
}

function refuse(error: GodwitError): ListenerStep {
  return { kind: 'refused', error, send: { kind: 'refused', error: toWireError(error) } };
}

function versionError(local: LocalPeer, theirs: string): GodwitError {
  return new GodwitError('GW_WIRE_VERSION', { theirs, ours: `${local.minVersion} to ${local.maxVersion}` });
}
