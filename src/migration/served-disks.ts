/**
 * What two hosts say to each other of disks that go through a block server (M3).
 *
 * Owns: how the offer names them. Must hold: what a peer says is checked; the images are the same files at both hosts.
 */
import { z } from 'zod';
import { GodwitError } from '../base/errors.ts';
import { SERVED_DISKS, type ServedDiskFacts } from '../storage/vm-disks/disk-server-record.ts';
import type { OfferedVm } from '../wire/messages.ts';

export interface OfferedDisks {
  /** Where QEMU reaches the block server at the source, as on its command line. */
  readonly socket: string;
  readonly disks: readonly ServedDiskFacts[];
  /** Of the images, in the same order. */
  readonly bytes: readonly number[];
}

const OFFERED = z
  .object({ socket: z.string().min(1).max(255), disks: SERVED_DISKS, bytes: z.array(z.int().min(0)) })
  .refine(({ disks, bytes }) => disks.length === bytes.length);

/** undefined: none of its disks goes through a block server. @throws GW_WIRE_FRAME_INVALID */
export function readOfferedDisks({ facts }: Pick<OfferedVm, 'facts'>): OfferedDisks | undefined {
  const { servedDisks } = facts;
  if (servedDisks === undefined) return undefined;
  const parsed = OFFERED.safeParse(servedDisks);
  if (parsed.success) return parsed.data;
  throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: 'offer', reason: 'its served disks cannot be read' });
}
