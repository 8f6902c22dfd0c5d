/**
 * How many connections carry the pages of a migration. Pure.
 *
 * Owns: the choice where nobody has made it. Must hold: at least one, at most what the protocol allows.
 */
import { MAX_PAGE_CHANNELS } from '../base/page.ts';

export interface ChannelFacts {
  /** 0: nobody has asked for a number. */
  readonly asked: number;
  /** Of this host. */
  readonly cpus: number;
}

/** Each has a thread at either end: more than this gain nothing that a CPU could give (docs/performance.md). */
const MOST_BY_ITSELF = 4;

export function chooseChannels({ asked, cpus }: ChannelFacts): number {
  const wanted = asked > 0 ? asked : Math.min(MOST_BY_ITSELF, cpus);
  return Math.max(1, Math.min(MAX_PAGE_CHANNELS, wanted));
}
