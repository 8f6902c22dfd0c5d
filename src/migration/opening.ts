/**
 * How the source opens a connection: hello and welcome, then one opening message and its answer, in lockstep.
 *
 * Owns: the dialer's half. The listener's half is in listener.ts. Must hold: nothing is sent after the opening message
 * until its answer is there, so that a descriptor can change threads in between.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { boundedHost } from '../base/host-name.ts';
import type { PackingStep } from '../base/packing-step.ts';
import { availableCodecs } from '../linux/compression.ts';
import { NICS_FEATURE } from '../network/nic.ts';
import type { DialPolicy } from '../transfer/dial.ts';
import { Mailbox } from '../transfer/mailbox.ts';
import { type Reading, StreamConnection } from '../transfer/stream-connection.ts';
import { PREFACE } from '../wire/encoder.ts';
import { frameName } from '../wire/frame-types.ts';
import { type Agreement, hello, localPeer, stepDialer } from '../wire/handshake.ts';
import { decodeControl, encodeControl, isControl } from '../wire/message-codec.ts';
import type { ControlMessage } from '../wire/messages.ts';
import { DISKS_FEATURE } from './disk-offer.ts';
import { fleetFeature } from './fingerprint-keys.ts';
import { DUPLICATES_ELSEWHERE_FEATURE, DUPLICATES_FEATURE, DUPLICATES_MISSING_FEATURE } from './held-contents.ts';

export const PACK_FEATURE = 'pack';
export const LZ4_FEATURE = 'pack-lz4';
/** Regions that VMs share; a host says it that has somebody to take them. */
export const SHARED_MEMORY_FEATURE = 'shared-memory';
/** Pages may come before QEMU is there (`begin`). */
export const EARLY_PAGES_FEATURE = 'early-pages';
/** Pongs say what has come, for who asks. */
export const RECEIVED_FEATURE = 'received';
/** What this build can do beyond version 1; both sides must say it. */
export const FEATURES: readonly string[] = [
  'digest',
  DISKS_FEATURE,
  DUPLICATES_FEATURE,
  DUPLICATES_ELSEWHERE_FEATURE,
  DUPLICATES_MISSING_FEATURE,
  EARLY_PAGES_FEATURE,
  NICS_FEATURE,
  PACK_FEATURE,
  ...(availableCodecs().includes('lz4') ? [LZ4_FEATURE] : []),
  'post-copy',
  RECEIVED_FEATURE,
];

const NAMING: ReadonlySet<string> = new Set([
  DUPLICATES_FEATURE,
  DUPLICATES_ELSEWHERE_FEATURE,
  DUPLICATES_MISSING_FEATURE,
]);

/** Those of a migration from here. @param without - steps that are left out: what only one of them needs is not offered */
export function featuresOf(without: readonly PackingStep[], fleetKey: string | null): readonly string[] {
  if (without.includes('duplicates')) return FEATURES.filter((feature) => !NAMING.has(feature));
  return fleetKey === null ? FEATURES : [...FEATURES, fleetFeature(fleetKey)];
}

export const SOFTWARE = 'godwit/0.1.0';

const DIAL_TIMEOUT_MS = 5000;
const ANSWER_TIMEOUT_MS = 15_000;

export interface OpenedConnection {
  readonly connection: StreamConnection;
  readonly agreement: Agreement;
  /** Control messages from the destination; the caller replaces this by its own handler when it takes over. */
  readonly inbox: Mailbox<ControlMessage>;
}

/** `HOST:PORT`, `[V6]:PORT`. @throws GW_INPUT_INVALID */
export function parseAddress(text: string, field: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:\s]+)):(\d{1,5})$/i.exec(text);
  const port = Number(match?.[3]);
  if (!match || port < 1 || port > 65_535) {
    throw new GodwitError('GW_INPUT_INVALID', { field, value: text, fix: 'give HOST:PORT of a migration port' });
  }
  return { host: boundedHost((match[1] ?? match[2])!, field), port };
}

/**
 * Dials and agrees on version and features.
 * @param reading - `framewise`: it is to be detached, and the other host may speak before that
 * @throws GW_PEER_UNREACHABLE, GW_TLS_…, GW_WIRE_…
 */
export async function openConnection(
  address: string,
  hostName: string,
  { dscp, tls }: DialPolicy,
  signal: AbortSignal,
  features: readonly string[] = FEATURES,
  reading: Reading = 'ahead',
): Promise<OpenedConnection> {
  const to = { ...parseAddress(address, 'to'), dscp, tls };
  const connection = await StreamConnection.dial(to, DIAL_TIMEOUT_MS, signal, reading);
  try {
    const inbox = new Mailbox<ControlMessage>();
    connection.closed.then((reason) => inbox.close(reason)).catch(() => undefined);
    connection.receive((frame) => {
      if (!isControl(frame.type)) {
        throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: frameName(frame.type), reason: 'it comes too early' });
      }
      inbox.post(decodeControl(frame.type, frame.payload));
    });
    const local = localPeer(hostName, SOFTWARE, features);
    const answer = await whileWanted(connection, signal, async () => {
      await connection.send(PREFACE, encodeControl(hello(local)));
      return await takeAnswer({ connection, inbox }, address);
    });
    const step = stepDialer(local, answer);
    if (step.kind === 'failed') throw step.error;
    return { connection, agreement: step.agreement, inbox };
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

/** The work on a connection, which is destroyed at once when the signal is aborted. */
export async function whileWanted<T>(
  connection: StreamConnection,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const abandon = (): void => connection.destroy(asGodwitError(signal.reason));
  signal.addEventListener('abort', abandon, { once: true });
  try {
    signal.throwIfAborted();
    return await work();
  } finally {
    signal.removeEventListener('abort', abandon);
  }
}

/** The next control message, or GW_WIRE_TIMEOUT. */
export async function takeAnswer(
  { connection, inbox }: Pick<OpenedConnection, 'connection' | 'inbox'>,
  peer: string,
  timeoutMs: number = ANSWER_TIMEOUT_MS,
): Promise<ControlMessage> {
  if (inbox.isEmpty) connection.readNext();
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new GodwitError('GW_WIRE_TIMEOUT', { peer, timeoutMs })), timeoutMs);
  try {
    return await Promise.race([inbox.take(), promise]);
  } finally {
    clearTimeout(timer);
  }
}

export interface ClockComparison {
  /** The destination's clock minus ours, milliseconds. */
  readonly offsetMs: number;
  /** Half the shortest round trip. */
  readonly uncertaintyMs: number;
}

const CLOCK_PROBES = 8;

/** Compares the two hosts' clocks; the shortest round trip is the best measurement. */
export async function compareClocks(opened: OpenedConnection, peer: string): Promise<ClockComparison> {
  let best: ClockComparison = { offsetMs: 0, uncertaintyMs: Number.POSITIVE_INFINITY };
  for (let token = 0; token < CLOCK_PROBES; token++) {
    const sentMs = SYSTEM_CLOCK.wallMs();
    await opened.connection.send(encodeControl({ kind: 'ping', token, wallMs: sentMs }));
    const answer = await takeAnswer(opened, peer);
    const backMs = SYSTEM_CLOCK.wallMs();
    if (answer.kind !== 'pong' || answer.token !== token) {
      throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: answer.kind, reason: 'it comes where pong must come' });
    }
    const uncertaintyMs = (backMs - sentMs) / 2;
    if (uncertaintyMs < best.uncertaintyMs) {
      best = { offsetMs: answer.receivedWallMs - (sentMs + backMs) / 2, uncertaintyMs };
    }
  }
  return best;
}
