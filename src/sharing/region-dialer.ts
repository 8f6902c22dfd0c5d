/**
 * How the source of a shared region reaches the destination: the offer, and dialling again after a cut.
 *
 * Owns: nothing but the way. Must hold: dialling again ends only with a connection or with `life`; who is not wanted any
 * more while it is on its way is closed at once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { asGodwitError, GodwitError, hasCode } from '../base/errors.ts';
import { join } from '../migration/further-connections.ts';
import {
  type OpenedConnection,
  openConnection,
  SHARED_MEMORY_FEATURE,
  takeAnswer,
  whileWanted,
} from '../migration/opening.ts';
import type { DialPolicy } from '../transfer/dial.ts';
import { encodeControl } from '../wire/message-codec.ts';
import type { ControlMessage, MessageBody } from '../wire/messages.ts';

/** The destination creates a file before it answers. */
const ANSWER_MS = 15_000;
const REDIAL_FIRST_MS = 50;
const REDIAL_MAX_MS = 2000;

export interface RegionRoute extends DialPolicy {
  /** HOST:PORT of the destination's migration port. */
  readonly to: string;
  readonly hostName: string;
  readonly sessionKey: string;
  /** Aborted when the destination is needed no more. */
  readonly life: AbortSignal;
}

/** What dialling again finds out. */
export interface RedialPort {
  /** Told why not, each reason once. */
  note(text: string): void;
  /** The destination knows nothing of the region: it has ended, or was begun anew. */
  onUnknown(): void;
  /** The destination has had everything, and has ended. */
  onOver(): void;
  /** What is offered anew instead of joined, once; undefined: nothing. */
  takeOffer(): MessageBody<'offerRegion'> | undefined;
}

/** The connection's descriptor, the caller's. @throws GW_PEER_UNREACHABLE, GW_WIRE_…, what the destination refuses with */
export async function offerRegion(route: RegionRoute, offer: MessageBody<'offerRegion'>): Promise<number> {
  return await open(route, 'regionReady', async (opened) => {
    const { agreement, connection } = opened;
    if (!agreement.features.includes(SHARED_MEMORY_FEATURE)) {
      const reason = 'it takes no memory that VMs share';
      throw new GodwitError('GW_REGION_REFUSED', { host: agreement.host, region: offer.region.name, reason });
    }
    await connection.send(encodeControl({ kind: 'offerRegion', ...offer }));
    return await takeAnswer(opened, route.to, ANSWER_MS);
  });
}

/** Dials until the destination answers. */
export async function redialRegion(route: RegionRoute, port: RedialPort): Promise<number | undefined> {
  const { life } = route;
  for (let pauseMs = REDIAL_FIRST_MS, told = ''; !life.aborted; pauseMs = Math.min(pauseMs * 2, REDIAL_MAX_MS)) {
    try {
      const offer = port.takeOffer();
      if (offer) return await offerRegion(route, offer);
      return await open(route, 'joined', (opened) => join(opened, route, 'region'));
    } catch (error) {
      if (hasCode(error, 'GW_PEER_UNKNOWN_SESSION')) port.onUnknown();
      else if (hasCode(error, 'GW_PEER_SESSION_OVER')) port.onOver();
      // Whatever it was, the only way on is another try.
      const text = asGodwitError(error).message;
      if (text !== told && !life.aborted) port.note(text);
      told = text;
    }
    await delay(pauseMs, undefined, { signal: life }).catch(() => undefined);
  }
  return undefined;
}

async function open(
  route: RegionRoute,
  wanted: ControlMessage['kind'],
  ask: (opened: OpenedConnection) => Promise<ControlMessage>,
): Promise<number> {
  const { to, hostName, life } = route;
  const opened = await openConnection(to, hostName, route, life, [SHARED_MEMORY_FEATURE], 'framewise');
  try {
    const answer = await whileWanted(opened.connection, life, () => ask(opened));
    if (answer.kind === wanted) return opened.connection.detach();
    throw answer.kind === 'refused'
      ? GodwitError.fromBody(answer.error)
      : new GodwitError('GW_WIRE_FRAME_INVALID', { frame: answer.kind, reason: `it comes where ${wanted} must come` });
  } catch (error) {
    opened.connection.destroy();
    throw error;
  }
}
