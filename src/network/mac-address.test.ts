import { expect, test } from 'vitest';
import { drawMac, macBytes, macNameSpace } from './mac-address.ts';

const OWNERS = Array.from({ length: 300 }, (_, index) => `fleet ${index}`);

test('every name space is of addresses that no card was made with, each of one interface', () => {
  const firsts = OWNERS.map((owner) => macNameSpace(owner)[0]! & 0b11);
  expect(new Set(firsts)).toEqual(new Set([0b10]));
});

test('a name space is always the same for its owner, and another for another', () => {
  expect(macNameSpace('fleet 1')).toEqual(macNameSpace('fleet 1'));
  const found = new Set(OWNERS.map((owner) => macNameSpace(owner).join(':')));
  expect(found.size).toBeGreaterThan(290);
});

test('what is drawn is in the name space, and is what nobody has', () => {
  const draws = [Uint8Array.of(0, 0, 0, 1), Uint8Array.of(0xab, 0, 0xcd, 2)];
  const mac = drawMac(
    Uint8Array.of(0x5a, 7),
    () => draws.shift()!,
    (drawn) => drawn === '5a:07:00:00:00:01',
  );
  expect(mac).toBe('5a:07:ab:00:cd:02');
  expect([...macBytes(mac)]).toEqual([0x5a, 7, 0xab, 0, 0xcd, 2]);
});
