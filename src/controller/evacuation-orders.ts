/**
 * Orders to begin what a plan says.
 *
 * Must hold: what is about to begin is remembered before its host is asked for it; nothing is begun by a plan that has become old
 * meanwhile, which is no failure of whatever was to begin; time that has passed since the plan is taken off what its deadline leaves.
 */
import type { EvacuationPort } from './evacuation-port.ts';

/** A store that answers at all does so within 3 s; by then the fleet may be another one. */
const LONGEST_HELD_MS = 5_000;

export interface Order<Request> {
  /** Unix milliseconds. */
  readonly plannedAtMs: number;
  readonly givenAtMs: number;
  readonly request: Request;
}

/** What was begun; null: it was held up for too long, and is to be planned anew. */
export async function giveOrder<Request extends { readonly finishByMs?: number | undefined }, Begun>(
  port: Pick<EvacuationPort, 'record' | 'nowMs'>,
  { plannedAtMs, givenAtMs, request }: Order<Request>,
  begin: (request: Request) => Promise<Begun>,
): Promise<Begun | null> {
  await port.record();
  const nowMs = port.nowMs();
  if (nowMs - givenAtMs > LONGEST_HELD_MS) return null;
  const { finishByMs } = request;
  if (finishByMs === undefined) return await begin(request);
  const leftMs = Math.round(finishByMs - (nowMs - plannedAtMs));
  return leftMs > 0 ? await begin({ ...request, finishByMs: leftMs }) : null;
}
