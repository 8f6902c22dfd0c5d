import { describe, expect, test } from 'vitest';
import { addVisit, expectOf, type KnownLinks, parseLinks, type Visit } from './known-links.ts';

const VISIT: Visit = {
  atMs: 1,
  vm: 'v1',
  bytesPerSecond: 50e6,
  wholeBytes: 2_000,
  resentBytes: 1_000,
  preparingMs: 150,
  fixedDowntimeMs: 12,
  endingMs: 30,
  pushFactor: 0,
};
const REQUEST = { vm: 'v1', isPacked: true, limit: 0 };

describe('what can be expected of a link', () => {
  test('is what is usual, with great doubts, when nobody has been there', () => {
    const { link, pair, doubts } = expectOf([], REQUEST);
    expect(link.bytesPerSecond).toBe(117e6);
    expect(pair.fixedDowntimeMs).toBeNull();
    expect(doubts.rate).toBe(1.3);
  });

  test('is the limit that the user sets, where it is below', () => {
    expect(expectOf([], { ...REQUEST, limit: 1e6 })).toMatchObject({
      link: { bytesPerSecond: 1e6 },
      doubts: { rate: 0.3 },
    });
    expect(expectOf([VISIT], { ...REQUEST, limit: 1e9 }).link.bytesPerSecond).toBe(50e6);
  });

  test('is the middle of what this VM has seen, of another VM with more doubt about its pages', () => {
    const visits = [40e6, 60e6, 50e6].map((bytesPerSecond) => ({ ...VISIT, bytesPerSecond }));
    const own = expectOf([...visits, { ...VISIT, vm: 'v2', wholeBytes: 4_000 }], REQUEST);
    expect(own.link).toEqual({ bytesPerSecond: 50e6, wholeBytes: 2_000, resentBytes: 1_000 });
    const other = expectOf(visits, { ...REQUEST, vm: 'v3' });
    expect(other.doubts.wholeBytes).toBeGreaterThan(own.doubts.wholeBytes);
  });

  test('is less certain the further visits are from each other', () => {
    const doubtOf = (...rates: number[]) =>
      expectOf(
        rates.map((bytesPerSecond) => ({ ...VISIT, bytesPerSecond })),
        REQUEST,
      ).doubts.rate;
    expect(doubtOf(50e6, 51e6, 52e6)).toBe(0.3);
    expect(doubtOf(20e6, 50e6, 120e6)).toBeGreaterThan(0.5);
  });

  test('leaves out what was not measured', () => {
    const { pair, link } = expectOf([{ ...VISIT, resentBytes: 0 }], REQUEST);
    expect(pair.pushFactor).toBe(1.4);
    expect(link.resentBytes).toBe(1_400);
  });

  test('knows what a page takes that goes as it is', () => {
    expect(expectOf([VISIT], { ...REQUEST, isPacked: false }).link).toMatchObject({
      wholeBytes: 4112,
      resentBytes: 4112,
    });
  });
});

describe('what is remembered', () => {
  test('are the latest visits of the links used last', () => {
    let links: KnownLinks = {};
    for (let i = 0; i < 100; i++) links = addVisit(links, `h${i}`, VISIT);
    for (let i = 0; i < 9; i++) links = addVisit(links, 'h50', { ...VISIT, atMs: i });
    expect(Object.keys(links)).toHaveLength(64);
    expect(links['h50']!.map(({ atMs }) => atMs)).toEqual([4, 5, 6, 7, 8]);
    expect(links['h1']).toBeUndefined();
  });

  test.each([
    [null, 0],
    ['rubbish', 0],
    [{ b: 3 }, 0],
    [{ b: [null, {}, { ...VISIT, bytesPerSecond: 0 }, { ...VISIT, vm: 3 }] }, 0],
    [{ b: [VISIT, { ...VISIT, endingMs: Number.NaN }] }, 1],
  ])('%j is read as %i visits', (value, count) => {
    expect(parseLinks(value)['b'] ?? []).toHaveLength(count);
  });
});
