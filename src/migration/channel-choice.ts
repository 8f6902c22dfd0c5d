/**
 * How many connections carry the pages of a migration. Pure.
 *
 * Owns: the choice where nobody has made it. Must hold: at least one, at most what the protocol allows, and no more than
 * there are CPUs, because each has a thread at either end.
 */
import { MAX_PAGE_CHANNELS } from '../base/page.ts';

export interface ChannelFacts {
  /** 0: nobody has asked for a number. */
  readonly asked: number;
  /** Of this host. */
  readonly cpus: number;
  /** What the way to the other host takes, as migrations before have shown or a limit says; undefined: nobody knows. */
  readonly bytesPerSecond?: number | undefined;
  /** Pages are made smaller by the threads that send them. */
  readonly isPacked?: boolean;
}

/** Where nothing is known of the link: enough for 10 Gbit/s. */
const MOST_UNKNOWN = 4;
/** What one thread moves, of pages as they are: 0.7 ms of CPU time for 1 MB at the source, 0.9 at the destination. */
const MOVED_BYTES_PER_SECOND = 800e6;
/** A link is only seen to take what it was given: with room for more it shows more the next time. */
const HEADROOM = 1.25;
/** What one thread packs as densely as can be (zstd 9) leaves so much for the link. */
const PACKED_BYTES_PER_SECOND = 20e6;
/** More threads that pack take CPUs from the guests, for a few per cent of the bytes. */
const MOST_PACKING = 4;

export function chooseChannels({ asked, cpus, bytesPerSecond, isPacked = false }: ChannelFacts): number {
  const wanted = asked > 0 ? asked : Math.min(cpus, chooseByRate(bytesPerSecond, isPacked));
  return Math.max(1, Math.min(MAX_PAGE_CHANNELS, wanted));
}

function chooseByRate(bytesPerSecond: number | undefined, isPacked: boolean): number {
  if (bytesPerSecond === undefined) return MOST_UNKNOWN;
  const moving = Math.ceil((HEADROOM * bytesPerSecond) / MOVED_BYTES_PER_SECOND);
  const packing = isPacked ? Math.min(MOST_PACKING, Math.ceil(bytesPerSecond / PACKED_BYTES_PER_SECOND)) : 0;
  return Math.max(moving, packing);
}
