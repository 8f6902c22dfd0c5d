import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_PAGE_CHANNELS } from '../base/page.ts';
import { chooseChannels } from './channel-choice.ts';

const MBIT = 125e3;

test.each<[string, Parameters<typeof chooseChannels>[0], number]>([
  ['what was asked for', { asked: 7, cpus: 2 }, 7],
  ['no more than the protocol allows', { asked: 40, cpus: 64 }, MAX_PAGE_CHANNELS],
  ['an unknown link, few CPUs', { asked: 0, cpus: 2 }, 2],
  ['an unknown link, many CPUs', { asked: 0, cpus: 64 }, 4],
  ['100 Mbit/s, packed', { asked: 0, cpus: 64, bytesPerSecond: 100 * MBIT, isPacked: true }, 1],
  ['200 Mbit/s, packed', { asked: 0, cpus: 64, bytesPerSecond: 200 * MBIT, isPacked: true }, 2],
  ['1 Gbit/s, packed', { asked: 0, cpus: 64, bytesPerSecond: 1000 * MBIT, isPacked: true }, 4],
  ['1 Gbit/s, as it is', { asked: 0, cpus: 64, bytesPerSecond: 1000 * MBIT }, 1],
  ['10 Gbit/s, as it is', { asked: 0, cpus: 64, bytesPerSecond: 10_000 * MBIT }, 2],
  ['40 Gbit/s, packed where that pays', { asked: 0, cpus: 64, bytesPerSecond: 40_000 * MBIT, isPacked: true }, 8],
  ['40 Gbit/s, few CPUs', { asked: 0, cpus: 3, bytesPerSecond: 40_000 * MBIT }, 3],
  ['a link that took nothing', { asked: 0, cpus: 4, bytesPerSecond: 0, isPacked: true }, 1],
])('%s', (_, facts, expected) => {
  expect(chooseChannels(facts)).toBe(expected);
});

test('a faster link never has fewer, and no host more than it has CPUs', () => {
  const rate = fc.double({ min: 0, max: 1e11, noNaN: true });
  fc.assert(
    fc.property(rate, rate, fc.integer({ min: 1, max: 256 }), fc.boolean(), (a, b, cpus, isPacked) => {
      const at = (bytesPerSecond: number) => chooseChannels({ asked: 0, cpus, bytesPerSecond, isPacked });
      const [slow, fast] = [at(Math.min(a, b)), at(Math.max(a, b))];
      expect(slow).toBeGreaterThanOrEqual(1);
      expect(fast).toBeGreaterThanOrEqual(slow);
      expect(fast).toBeLessThanOrEqual(Math.min(cpus, MAX_PAGE_CHANNELS));
    }),
  );
});
