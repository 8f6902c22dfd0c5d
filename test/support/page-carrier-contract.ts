/** What page senders rely on of page channels, real ones and those of tests. */
import { expect, test } from 'vitest';
import { PAGES_OF_ONE_CHANNEL, type PageCarrier } from '../../src/migration/page-channels.ts';

/** @param use - calls back with so many open channels */
export function describePageCarrier(
  name: string,
  use: (channels: number, look: (carrier: PageCarrier) => void) => Promise<void>,
): void {
  test.each([1, 2, 3])(`${name}: neighbours have one channel, always, and %i share the pages evenly`, async (count) => {
    await use(count, (carrier) => {
      expect(carrier.openCount).toBe(count);
      const blocks = Array.from({ length: 4 * count }, (_, block) => block * PAGES_OF_ONE_CHANNEL);
      const channels = blocks.map((first) => carrier.channelOf(first));
      const shares = Map.groupBy(channels, (channel) => channel);
      expect([...shares.values()].map((share) => share.length)).toEqual(Array.from({ length: count }, () => 4));
      expect(blocks.map((first) => carrier.channelOf(first + PAGES_OF_ONE_CHANNEL - 1))).toEqual(channels);
      expect(blocks.map((first) => carrier.channelOf(first))).toEqual(channels);
    });
  });
}
