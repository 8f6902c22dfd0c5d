/**
 * Regions that VMs share, as the migration port sees them: who is asked when a peer offers one or dials again for one.
 *
 * Owns: the interface to src/sharing, which this folder does not know. Must hold: a host that takes none says so.
 */
import { GodwitError } from '../base/errors.ts';
import type { Message } from '../wire/messages.ts';
import type { JoinAnswer } from './listener.ts';

export interface RegionPolicy {
  /**
   * A peer offers a region. The connection is the callee's from `takeFd` on, which it calls once; until then what this
   * throws or rejects with is told as the refusal.
   * @param signal - aborted when the peer has gone
   */
  onOffer(offer: Message<'offerRegion'>, takeFd: () => number, peer: string, signal: AbortSignal): Promise<void> | void;
  /** A peer has dialled again (purpose `region`). The callee says `joined`. */
  onJoin(join: Message<'join'>, takeFd: () => number, peer: string): JoinAnswer;
}

/** @throws GW_REGION_REFUSED where the host takes none, and what the policy throws */
export async function offerRegion(
  policy: RegionPolicy | undefined,
  host: string,
  offer: Message<'offerRegion'>,
  ...rest: [takeFd: () => number, peer: string, signal: AbortSignal]
): Promise<void> {
  if (policy) return await policy.onOffer(offer, ...rest);
  const reason = 'it takes no memory that VMs share';
  throw new GodwitError('GW_REGION_REFUSED', { host, region: offer.region.name, reason });
}
