/**
 * How a disk is kept up to date while it is copied, where QEMU cannot change that later (before 8.2).
 *
 * Owns: the rule. Must hold: pure. In the background the VM's writes cost it nothing, but are left to copy: that ends only
 * where the link takes well more than the VM writes. Blocking, each write waits for the other host.
 */
import type { MirrorMode } from '../qemu/disk-mirror.ts';

/** A link that has to carry the memory and the first copy as well. */
const SHARE_FOR_WRITES = 0.25;
/** What any link takes that nothing is known of: 100 Mbit/s. */
const UNKNOWN_LINK_BYTES_PER_SECOND = 12_500_000;

export interface MirrorModeFacts {
  /** The mode can be changed while the job runs. */
  readonly canChange: boolean;
  /** Before the copy began. */
  readonly writtenBytesPerSecond: number;
  /** Known from earlier migrations, or the limit; null: neither. */
  readonly linkBytesPerSecond: number | null;
}

export function chooseMirrorMode({
  canChange,
  writtenBytesPerSecond,
  linkBytesPerSecond,
}: MirrorModeFacts): MirrorMode {
  if (canChange) return 'background';
  const roomBytesPerSecond = (linkBytesPerSecond ?? UNKNOWN_LINK_BYTES_PER_SECOND) * SHARE_FOR_WRITES;
  return writtenBytesPerSecond > roomBytesPerSecond ? 'write-blocking' : 'background';
}
