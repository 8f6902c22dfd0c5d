/**
 * Which part of a VM's RAM a sampling window watches (B1).
 *
 * Owns: the choice. Watching costs a VM more than its writes: under KVM all that is watched is mapped anew, also what is only read.
 * So it is bounded: of a large VM pieces are watched, spread evenly over its memory, and others the next time. Pure.
 * Must hold: pieces are whole huge pages by their address in QEMU (the kernel would have to split one that is watched in part), lie in
 * their region, and do not overlap.
 */
import { HUGE_PAGE_BYTES, type KnownRegion } from './known-ram.ts';

/** 4 MiB each: enough to see more than one data structure of a guest, few enough descriptors. */
const PIECE_BYTES = 2 * HUGE_PAGE_BYTES;
const MAX_PIECES = 64;
/** 256 MiB. */
export const MAX_WATCHED_BYTES: number = MAX_PIECES * PIECE_BYTES;

export interface SampledPieces {
  readonly pieces: readonly KnownRegion[];
  /** What is found in them times this is what there is in the VM. */
  readonly scale: number;
}

/** @param phase - 0 ≤ phase < 1: where the first piece begins, as a part of the way from one to the next */
export function choosePieces(regions: readonly KnownRegion[], phase: number): SampledPieces {
  const totalBytes = sumOf(regions);
  if (totalBytes <= MAX_WATCHED_BYTES) return { pieces: regions, scale: 1 };
  const stride = totalBytes / MAX_PIECES;
  const pieces = new Map<string, KnownRegion>();
  for (let piece = 0; piece < MAX_PIECES; piece++) {
    const found = pieceAt(regions, (piece + phase) * stride);
    if (found) pieces.set(found.address, found);
  }
  const chosen = [...pieces.values()];
  return { pieces: chosen, scale: totalBytes / Math.max(1, sumOf(chosen)) };
}

/** undefined where the region has no whole piece there. */
function pieceAt(regions: readonly KnownRegion[], at: number): KnownRegion | undefined {
  let before = 0;
  const region = regions.find(({ bytes }) => {
    before += bytes;
    return at < before;
  });
  if (!region) return undefined;
  const start = BigInt(region.address);
  const wanted = start + BigInt(Math.floor(at - (before - region.bytes)));
  const huge = BigInt(PIECE_BYTES);
  const address = ((wanted < start ? start : wanted) / huge) * huge;
  const isInside = address >= start && address + huge <= start + BigInt(region.bytes);
  return isInside
    ? { ...region, id: `${region.id}@${address}`, address: String(address), bytes: PIECE_BYTES }
    : undefined;
}

function sumOf(regions: readonly KnownRegion[]): number {
  return regions.reduce((sum, { bytes }) => sum + bytes, 0);
}
