/**
 * Where a VM's RAM lies in its QEMU, as it is written down: found again by who cannot ask QEMU.
 *
 * Must hold: it is of use while that QEMU lives, and then exactly as it was.
 */
import type { RegionSpec } from '../memory/layout.ts';

/** What the page tables of x86-64 and arm64 map as one, beside pages. */
export const HUGE_PAGE_BYTES: number = 2 * 2 ** 20;

export interface KnownRegion extends RegionSpec {
  /** Opens the file: `/proc/PID/fd/N`. */
  readonly fdPath: string;
  /** Address of its first byte in QEMU, decimal. */
  readonly address: string;
}

/** What finding it once, by asking QEMU, has shown. */
export interface FoundRegion extends RegionSpec {
  readonly fdPath: string;
  readonly hostAddress: bigint;
}

export function writeDownRam(regions: readonly FoundRegion[]): KnownRegion[] {
  return regions.map(({ id, bytes, fdPath, hostAddress }) => ({ id, bytes, fdPath, address: String(hostAddress) }));
}

export function readKnownRam(known: readonly KnownRegion[]): FoundRegion[] {
  return known.map(({ id, bytes, fdPath, address }) => ({ id, bytes, fdPath, hostAddress: BigInt(address) }));
}
