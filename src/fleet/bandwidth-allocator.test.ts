import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BandwidthAllocator } from './bandwidth-allocator.ts';
import type { FleetHost } from './fleet-state.ts';

const host = (name: string, send: number, receive: number): FleetHost => ({
  name,
  memoryBytes: 0,
  sendBytesPerSecond: send,
  receiveBytesPerSecond: receive,
  takesVms: true,
});
const HOSTS = [host('a', 100, 100), host('b', 40, 60), host('c', 100, 100)];
const LINK = { name: 'core', bytesPerSecond: 50, between: [['a', 'b'], ['c']] } as const;
const AB = { from: 'a', to: 'b' };
const AC = { from: 'a', to: 'c' };

describe('an allocator', () => {
  test('grants what the narrowest part of the way has, and takes it from all of its parts', () => {
    const allocator = new BandwidthAllocator(HOSTS, [LINK], []);
    expect([allocator.most(AB), allocator.most(AC)]).toEqual([60, 50]);
    allocator.grant(AB, 60);
    expect([allocator.free(AB), allocator.free(AC)]).toEqual([0, 40]);
    expect(allocator.tightest(AC)).toEqual({ kind: 'sending', host: 'a' });
    allocator.release(AB, 60);
    expect(allocator.free(AC)).toBe(50);
    expect(allocator.tightest(AC)).toEqual({ kind: 'link', link: 'core' });
  });

  test('keeps what is reserved', () => {
    const reservations = [
      { from: 'a', to: null, bytesPerSecond: 30 },
      { from: 'c', to: 'a', bytesPerSecond: 45 },
      { from: null, to: 'b', bytesPerSecond: 500 },
    ];
    const allocator = new BandwidthAllocator(HOSTS, [LINK], reservations);
    expect(allocator.most(AC)).toBe(5);
    expect(allocator.most({ from: 'b', to: 'a' })).toBe(40);
    expect(allocator.most(AB)).toBe(0);
  });

  test('refuses what is not free, and knows of what is used already', () => {
    const allocator = new BandwidthAllocator(HOSTS, [], []);
    allocator.occupy(AB, 70);
    expect(allocator.free(AB)).toBe(0);
    expect(() => allocator.grant(AC, 31)).toThrow(RangeError);
    expect(() => allocator.most({ from: 'a', to: 'nowhere' })).toThrow(RangeError);
  });

  test('never grants more than there is', () => {
    const routes = fc.constantFrom(AB, AC, { from: 'b', to: 'c' }, { from: 'c', to: 'a' });
    fc.assert(
      fc.property(fc.array(fc.tuple(routes, fc.double({ min: 0, max: 1, noNaN: true }))), (wishes) => {
        const allocator = new BandwidthAllocator(HOSTS, [LINK], []);
        const granted = wishes.map(([route, part]) => {
          const rate = allocator.free(route) * part;
          allocator.grant(route, rate);
          return { route, rate };
        });
        const sum = (uses: (route: { from: string; to: string }) => boolean): number =>
          granted.filter(({ route }) => uses(route)).reduce((total, { rate }) => total + rate, 0);
        for (const { name, sendBytesPerSecond, receiveBytesPerSecond } of HOSTS) {
          expect(sum(({ from }) => from === name)).toBeLessThanOrEqual(sendBytesPerSecond + 1e-3);
          expect(sum(({ to }) => to === name)).toBeLessThanOrEqual(receiveBytesPerSecond + 1e-3);
        }
        expect(sum(({ from, to }) => (from === 'c') !== (to === 'c'))).toBeLessThanOrEqual(50 + 1e-3);
      }),
    );
  });
});
