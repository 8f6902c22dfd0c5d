import { describe, expect, test } from 'vitest';
import { PackLadder, type Rung } from './pack-ladder.ts';

const name = ({ codec, level }: Rung) => (codec === 'none' ? 'raw' : `${codec}-${level}`);

/** What each rung leaves, and how many MB/s it packs. */
type Rungs = Readonly<Record<string, readonly [ratio: number, MBps: number]>>;

const USUAL: Rungs = {
  'lz4-1': [0.6, 900],
  'zstd-1': [0.48, 400],
  'zstd-3': [0.46, 220],
  'zstd-6': [0.44, 80],
  'zstd-9': [0.43, 40],
};
const BUFFER_MB = 4;
const BATCHES = 600;
const THREADS = 4;
const INCOMPRESSIBLE: Rungs = Object.fromEntries(Object.entries(USUAL).map(([key, [, speed]]) => [key, [1, speed]]));

/** Sends batches of 1 MB over a link with a buffer; how the last 100 were packed, and how long all took. */
function simulate(
  linkMBps: number,
  rungsAt: (batch: number) => Rungs,
  { cpus = 1, share = 1 } = {},
): { last: string[]; ms: number } {
  const ladder = new PackLadder(['zstd', 'lz4'], THREADS, 9);
  let queuedMB = 0;
  let nowMs = 0;
  let known: number | undefined;
  const used: string[] = [];
  const pass = (ms: number): void => {
    nowMs += ms;
    queuedMB = Math.max(0, queuedMB - (ms * linkMBps) / 1000);
  };
  for (let i = 0; i < BATCHES; i++) {
    const isIdle = queuedMB === 0;
    if (!isIdle) known = linkMBps * 1e6;
    const { rung } = ladder.choose({ bytesPerSecond: known, isIdle, isPilingUp: false, cpus, nowMs });
    const [ratio, speed] = rungsAt(i)[name(rung)] ?? [1, 4000];
    const ms = 1000 / speed;
    pass(rung.codec === 'none' ? ms : ms / Math.min(cpus, THREADS * share));
    if (rung.codec !== 'none') ladder.learn(rung, 1e6, ratio * 1e6, { cpuMs: ms, wallMs: ms / share });
    queuedMB += ratio;
    if (queuedMB > BUFFER_MB) pass(((queuedMB - BUFFER_MB) / linkMBps) * 1000);
    used.push(name(rung));
  }
  return { last: used.slice(-100), ms: nowMs + (queuedMB / linkMBps) * 1000 };
}

const usual = () => USUAL;
const mostOf = (names: readonly string[]) =>
  [...new Set(names)].sort((a, b) => names.filter((n) => n === b).length - names.filter((n) => n === a).length)[0];

describe('the ladder', () => {
  test.each<[string, number, string]>([
    ['a fast link', 3000, 'raw'],
    ['10 Gbit/s', 1200, 'raw'],
    ['2.5 Gbit/s', 300, 'lz4-1'],
    ['1 Gbit/s', 119, 'zstd-1'],
    ['200 Mbit/s', 24, 'zstd-6'],
  ])('on %s', (_, linkMBps, expected) => {
    expect(mostOf(simulate(linkMBps, usual).last)).toBe(expected);
  });

  test.each([3000, 1200, 300, 119, 24])('at %i MB/s is hardly slower than raw, whatever the contents', (linkMBps) => {
    const rawMs = (600 / Math.min(linkMBps, 4000)) * 1000;
    expect(simulate(linkMBps, usual).ms).toBeLessThan(rawMs * 1.02 + 200);
    expect(simulate(linkMBps, () => INCOMPRESSIBLE).ms).toBeLessThan(rawMs * 1.02 + 200);
  });

  test.each<[number, string]>([
    [0.5, 'lz4-1'],
    [1, 'zstd-1'],
    [2, 'zstd-3'],
    [4, 'zstd-6'],
  ])('with %d CPUs to spare at 1 Gbit/s', (cpus, expected) => {
    expect(mostOf(simulate(119, usual, { cpus }).last)).toBe(expected);
  });

  test('without a CPU to spare half of one is taken, where that pays', () => {
    const { last } = simulate(24, usual, { cpus: 0.5 });
    expect(mostOf(last)).toBe('zstd-3');
    expect(mostOf(simulate(600, usual, { cpus: 0.5 }).last)).toBe('raw');
    expect(mostOf(simulate(300, usual, { cpus: 0.2 }).last)).toBe('raw');
  });

  test.each([24, 119, 600])('threads that hardly get a CPU do not hold up %i MB/s', (linkMBps) => {
    const { ms } = simulate(linkMBps, usual, { cpus: 0.04, share: 0.01 });
    expect(ms).toBeLessThan(((600 * 1000) / linkMBps) * 1.3 + 500);
  });

  test('at 1 Gbit/s it takes little more than half of the time', () => {
    expect(simulate(119, usual).ms).toBeLessThan((0.55 * 600 * 1000) / 119);
  });

  test('what cannot be compressed is rarely tried', () => {
    const { last } = simulate(119, () => INCOMPRESSIBLE);
    expect(last.filter((used) => used !== 'raw').length).toBeLessThanOrEqual(5);
  });

  test('random pages between others, on which a codec gives up at once, make no rung look quicker', () => {
    const random = Object.fromEntries(Object.keys(USUAL).map((key) => [key, [1, 5000] as const]));
    const mixed = (batch: number): Rungs => (batch % 2 === 0 ? USUAL : random);
    expect(simulate(119, mixed).last.filter((used) => /zstd-[69]/.test(used)).length).toBeLessThanOrEqual(10);
    // Half of it in half the time: raw takes 5.0 s, and what the codecs leave 3.7.
    expect(simulate(119, mixed).ms).toBeLessThan((0.8 * 600 * 1000) / 119);
  });

  test('data that becomes compressible is noticed, and the other way round', () => {
    expect(simulate(119, (batch) => (batch < 300 ? INCOMPRESSIBLE : USUAL)).last).not.toContain('raw');
    expect(mostOf(simulate(119, (batch) => (batch < 300 ? USUAL : INCOMPRESSIBLE)).last)).toBe('raw');
  });

  test('a first batch that was slow is not the last', () => {
    const slow = Object.fromEntries(Object.entries(USUAL).map(([key, [ratio]]) => [key, [ratio, 10] as const]));
    expect(mostOf(simulate(119, (batch) => (batch < 8 ? slow : USUAL)).last)).toBe('zstd-1');
  });

  test('contents that shrink to next to nothing are packed though the link is idle then', () => {
    const tiny = Object.fromEntries(Object.entries(USUAL).map(([key, [, speed]]) => [key, [0.02, speed] as const]));
    const { last } = simulate(119, () => tiny);
    expect(last.filter((used) => used === 'raw').length).toBeLessThan(10);
  });

  test('where somebody may wait for the batch it stays with what is quick', () => {
    const ladder = new PackLadder(['zstd', 'lz4'], 1, 1);
    const used = new Set<string>();
    for (let i = 0; i < 200; i++)
      used.add(name(ladder.choose({ bytesPerSecond: 5e6, isIdle: false, isPilingUp: false, cpus: 1, nowMs: i }).rung));
    expect([...used].sort()).toEqual(['raw', 'zstd-1']);
  });

  test('without codecs everything is raw', () => {
    const ladder = new PackLadder([], 1, 9);
    for (let i = 0; i < 100; i++) {
      const { rung, hasTime } = ladder.choose({
        bytesPerSecond: 1e8,
        isIdle: false,
        isPilingUp: false,
        cpus: 1,
        nowMs: i,
      });
      expect([name(rung), hasTime]).toEqual(['raw', true]);
    }
  });

  test('on a link of which nothing is known pages are packed once they pile up', () => {
    const ladder = new PackLadder(['zstd', 'lz4'], 2, 9);
    const choose = (isPilingUp: boolean) =>
      name(ladder.choose({ bytesPerSecond: undefined, isIdle: false, isPilingUp, cpus: 1, nowMs: 0 }).rung);
    expect([true, true, false, false].map(choose)).toEqual(['raw', 'raw', 'raw', 'raw']);
    expect([true, true, false].map(choose)).toEqual(['zstd-1', 'zstd-1', 'raw']);
  });

  test('on a link that is faster than comparing there is no time for that', () => {
    const ladder = new PackLadder(['zstd'], 1, 9);
    expect(
      ladder.choose({ bytesPerSecond: undefined, isIdle: true, isPilingUp: false, cpus: 1, nowMs: 0 }).hasTime,
    ).toBe(false);
    expect(ladder.choose({ bytesPerSecond: 1e9, isIdle: false, isPilingUp: false, cpus: 1, nowMs: 0 }).hasTime).toBe(
      false,
    );
  });
});
