import { expect, test } from 'vitest';
import { advertisement, announcementsOf, arp, rarp } from './announcement.ts';

const MAC = '52:54:00:12:34:56';
const OWN = '525400123456';

const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex');

test('RARP asks for its own address, as RFC 903 has it, and fills up to the shortest frame', () => {
  const body = `0001080006040003${OWN}00000000${OWN}00000000`;
  expect(hex(rarp(MAC))).toBe(`ffffffffffff${OWN}8035${body}${'00'.repeat(18)}`);
});

test('ARP announces the address as sender and target, as RFC 5227 has it', () => {
  const body = `0001080006040001${OWN}0a4d0007${'00'.repeat(6)}0a4d0007`;
  expect(hex(arp(MAC, '10.77.0.7'))).toBe(`ffffffffffff${OWN}0806${body}${'00'.repeat(18)}`);
});

test('an unsolicited advertisement overrides what all nodes of the link know, and its checksum is right', () => {
  const from = 'fe80000000000000505400fffe123456';
  const to = 'ff020000000000000000000000000001';
  const frame = hex(advertisement(MAC, 'fe80::5054:ff:fe12:3456'));
  const [head, checksum, rest] = [frame.slice(0, 112), frame.slice(112, 116), frame.slice(116)];
  expect(head).toBe(`333300000001${OWN}86dd6000000000203aff${from}${to}8800`);
  expect(rest).toBe(`20000000${from}0201${OWN}`);
  // With the checksum in it the sum of all words is 0xffff.
  const summed = `${from}${to}000000200000003a8800${checksum}${rest}`;
  const sum = summed.match(/.{4}/g)!.reduce((total, word) => total + Number.parseInt(word, 16), 0);
  expect((sum & 0xffff) + (sum >>> 16)).toBe(0xffff);
});

test.each([
  ['2001:db8::1', '20010db8000000000000000000000001'],
  ['2001:db8:1:2:3:4:5:6', '20010db8000100020003000400050006'],
  ['::1', '00000000000000000000000000000001'],
  ['2001:db8::', '20010db8000000000000000000000000'],
])('the IPv6 address %s is %s', (address, bytes) => {
  expect(hex(advertisement(MAC, address)).slice(44, 76)).toBe(bytes);
});

test('where no IP address is known switches are told all the same', () => {
  expect(announcementsOf(MAC, [])).toEqual([rarp(MAC)]);
  expect(announcementsOf(MAC, ['10.0.0.7', 'fe80::1'])).toEqual([
    rarp(MAC),
    arp(MAC, '10.0.0.7'),
    advertisement(MAC, 'fe80::1'),
  ]);
});
