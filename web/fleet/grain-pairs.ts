/**
 * The matrices that a host tells of its VMs, as pairs of VMs: what the heat map of a fleet is drawn from.
 *
 * Pure. Must hold: the most alike come first, as in a fleet; a part is of the one of both that has fewer contents.
 */
import type { CommonalityView } from '../../src/api/commonality-schema.ts';
import type { CommonPairView } from '../../src/api/fleet-plan-schema.ts';

/** @param grainBytes - blocks of so many bytes; one that the host does not tell has no pairs */
export function grainPairs({ vms, grains }: CommonalityView, grainBytes: number): CommonPairView[] {
  const grain = grains.find((each) => each.grainBytes === grainBytes);
  if (!grain) return [];
  const { common, standardError } = grain;
  return vms
    .flatMap((a, i) =>
      vms.slice(i + 1).map((b, step): CommonPairView => {
        const j = i + 1 + step;
        const commonBytes = common[i]![j]!;
        const smaller = Math.min(common[i]![i]!, common[j]![j]!);
        const part = smaller === 0 ? 0 : Math.min(1, commonBytes / smaller);
        return { a, b, commonBytes, standardErrorBytes: standardError[i]![j]!, part };
      }),
    )
    .sort((one, other) => other.commonBytes - one.commonBytes);
}
