import { expect, test } from 'vitest';
import { Peers } from './peers.ts';

function peersAt(own: string): Peers {
  const peers = new Peers({ b: '10.0.0.2:7710', me: '127.0.0.1:7710' });
  peers.isAt(own);
  return peers;
}

test('a host goes by its name or its address', () => {
  const peers = peersAt('127.0.0.1:7710');
  expect([peers.resolve('b'), peers.resolve('10.0.0.3:7710')]).toEqual(['10.0.0.2:7710', '10.0.0.3:7710']);
  expect(() => peers.resolve('c')).toThrow('one of the peers b, me');
});

test.each([
  ['127.0.0.1:7710', 'me'],
  ['127.0.0.1:7710', '127.0.0.1:7710'],
  ['127.0.0.1:7710', 'localhost:7710'],
  ['0.0.0.0:7710', '127.0.0.5:7710'],
  ['[::]:7710', '[::1]:7710'],
])('this host, which listens at %s, is no other host by the name %s', (own, to) => {
  expect(() => peersAt(own).resolve(to)).toThrow(`give another host: ${own} is the migration port of this one`);
});

test.each([
  ['127.0.0.1:7710', '127.0.0.1:7810'],
  ['127.0.0.1:7710', '127.0.0.2:7710'],
  ['0.0.0.0:7710', '192.0.2.1:7710'],
])('at %s another host may be %s', (own, to) => {
  expect(peersAt(own).resolve(to)).toBe(to);
});

test('before the port is open every host is another one', () => {
  expect(new Peers({}).resolve('127.0.0.1:7710')).toBe('127.0.0.1:7710');
});
