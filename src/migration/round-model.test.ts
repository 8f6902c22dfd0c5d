import { describe, expect, test } from 'vitest';
import { roundFacts } from '../../test/support/round-facts.ts';
import { type DirtyCurve, dirtyAfter, fitDirtyCurve, modifiedWithin } from './dirty-curve.ts';
import { ROUND_OVERHEAD_MS } from './dirty-estimate.ts';
import { fewestPages, MAX_SKIPPED_PART, modelRound, wholeRound } from './round-model.ts';

const LINK = { bytesPerSecond: 100e6, wholeBytes: 4_000, resentBytes: 2_000 };
const CURVE = curveOf(16_384, 20_000);

function curveOf(workingSet: number, writesPerSecond: number): DirtyCurve {
  const samples = [0.02, 0.1, 0.5, 1, 3].map((seconds) => ({
    seconds,
    pages: workingSet * -Math.expm1((-writesPerSecond * seconds) / workingSet),
    weight: 1,
  }));
  return fitDirtyCurve(samples, 65_536);
}

describe('a modelled round', () => {
  test('of a VM that writes nothing takes what the link takes, and leaves nothing', () => {
    const idle = fitDirtyCurve([], 65_536);
    const { measured } = modelRound(1, wholeRound(50_000), idle.pagesByRate, { curve: idle, link: LINK, share: 1 });
    expect(measured).toMatchObject({ sentPages: 50_000, sentBytes: 200e6, skippedPages: 0, dirtyPages: 0 });
    expect(measured.ms).toBeCloseTo(2_000 + ROUND_OVERHEAD_MS, 6);
  });

  test('after the first sends pages at what changed ones take, and leaves the curve at its length', () => {
    const hot = modifiedWithin(CURVE, 1);
    const { measured } = modelRound(2, wholeRound(10_000), hot, { curve: CURVE, link: LINK, share: 1 });
    expect(measured.sentPages + measured.skippedPages).toBeCloseTo(10_000, 6);
    expect(measured.sentBytes).toBeCloseTo(measured.sentPages * 2_000, 3);
    expect(measured.dirtyPages).toBeCloseTo(dirtyAfter(CURVE, measured.ms / 1000), 6);
    expect(measured.skippedPages).toBeGreaterThan(0);
  });

  test('of a VM at half speed leaves what it writes in half of the time', () => {
    const at = (share: number) => modelRound(1, wholeRound(50_000), [], { curve: CURVE, link: LINK, share }).measured;
    expect(at(0.5).dirtyPages).toBeCloseTo(dirtyAfter(CURVE, at(0.5).ms / 2_000), 6);
    expect(at(0.5).dirtyPages).toBeLessThan(at(1).dirtyPages);
  });

  test('skips no more than a round may', () => {
    const wild = curveOf(16_384, 10_000_000);
    const { measured } = modelRound(2, wholeRound(16_384), wild.pagesByRate, { curve: wild, link: LINK, share: 1 });
    expect(measured.skippedPages).toBeLessThanOrEqual(16_384 * MAX_SKIPPED_PART + 1e-6);
  });
});

describe('the fewest pages that rounds come to', () => {
  const round = {
    number: 2,
    sentPages: 16_384,
    sentBytes: 16_384 * 4_000,
    skippedPages: 0,
    ms: 655,
    dirtyPages: 16_384,
  };
  const facts = roundFacts({
    rounds: [{ ...round, number: 1, sentPages: 65_536, sentBytes: 65_536 * 4_000, ms: 2_621 }, round],
    remainingPages: 16_384,
    linkBytesPerSecond: 100e6,
    elapsedMs: 3_300,
  });

  test('are next to none of a VM that writes more slowly than the link sends', () => {
    expect(fewestPages(facts, curveOf(16_384, 2_000), 1)).toBeLessThan(100);
  });

  test('are nearly the working set of a VM that rewrites it faster than it can be sent', () => {
    expect(fewestPages(facts, curveOf(16_384, 2_000_000), 1)).toBeGreaterThan(14_000);
  });

  test('are fewer when the VM is slowed, and on a faster link', () => {
    const curve = curveOf(16_384, 60_000);
    expect(fewestPages(facts, curve, 0.1)).toBeLessThan(fewestPages(facts, curve, 1));
    expect(fewestPages(facts, curve, 1, 4)).toBeLessThan(fewestPages(facts, curve, 1));
  });
});
