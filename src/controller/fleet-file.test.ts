import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { parseFleet } from './fleet-file.ts';

const A = { api: 'http://10.0.0.1:7700' };
const B = { api: 'http://10.0.0.2:7700' };

test.each<[string, object, RegExp]>([
  ['an address of no host', { a: { api: 'http://' } }, /hosts\.a\.api: .*give http:\/\/HOST:PORT/],
  ['an address with a port that there is not', { a: { api: 'http://a:99999' } }, /hosts\.a\.api/],
  ['a socket without a path', { a: { api: 'unix:' } }, /hosts\.a\.api/],
  ['a migration address without a port', { a: { ...A, migration: '10.0.0.1' } }, /hosts\.a\.migration: .*HOST:PORT/],
  [
    'the migration address of another host',
    { a: { ...A, migration: '10.0.0.1:7710' }, b: { ...B, migration: '10.0.0.1:7710' } },
    /hosts\.b\.migration: .*that of a/,
  ],
  ['a port that is said to have no limit', { a: { ...A, rate: 'unlimited' } }, /hosts\.a\.rate: .*10Gbit\/s/],
])('refuses %s, with field and fix', (_what, hosts, message) => {
  expect(() => parseFleet({ hosts }, '/')).toThrow(message);
});

test('refuses a link without a limit and a file without a token, and takes what is right', () => {
  const links = [{ name: 'up', rate: 'unlimited', between: [['a'], ['b']] }];
  expect(() => parseFleet({ hosts: { a: A, b: B }, links }, '/')).toThrow(/links\[0\]\.rate/);
  using directory = new TempDirectory();
  writeFileSync(directory.join('empty'), '\n');
  expect(() => parseFleet({ hosts: { a: { ...A, tokenFile: 'empty' } } }, directory.path)).toThrow(
    /hosts\.a\.tokenFile: .*put the token/,
  );
  const hosts = { a: { ...A, migration: '[fe80::1]:7710', rate: '10Gbit/s' }, b: { api: 'unix:/run/b' } };
  expect(parseFleet({ hosts }, '/').hosts).toMatchObject([{ migration: '[fe80::1]:7710', bytesPerSecond: 1.25e9 }, {}]);
});

describe('reservations', () => {
  const hosts = {
    a: { ...A, rate: '10Gbit/s' },
    b: { ...B, rate: '10Gbit/s' },
    c: { api: 'unix:/c', rate: '10Gbit/s' },
    d: { api: 'unix:/d' },
  };
  const links = [{ name: 'up', rate: '4Gbit/s', between: [['a'], ['c']] }];

  test('are of what a host sends, of what one receives, or of the way between two', () => {
    const reservations = [
      { from: 'a', to: null, rate: '2Gbit/s' },
      { to: 'b', rate: '8Gbit/s' },
      { from: 'c', to: 'a', rate: '3Gbit/s' },
    ];
    expect(parseFleet({ hosts, links, reservations }, '/').reservations).toEqual([
      { from: 'a', to: null, bytesPerSecond: 250e6 },
      { from: null, to: 'b', bytesPerSecond: 1e9 },
      { from: 'c', to: 'a', bytesPerSecond: 375e6 },
    ]);
    expect(parseFleet({ hosts }, '/').reservations).toEqual([]);
  });

  test.each<[object[], RegExp]>([
    [[{ from: 'z', to: null, rate: '1Gbit/s' }], /reservations\[0\]\.from: .*a host of `hosts`/],
    [[{ from: null, to: 'z', rate: '1Gbit/s' }], /reservations\[0\]\.to: .*a host of `hosts`/],
    [[{ rate: '1Gbit/s' }], /reservations\[0\]\.from: .*in both/],
    [[{ from: 'a', rate: 'unlimited' }], /reservations\[0\]\.rate/],
    [
      [
        { from: 'a', rate: '6Gbit/s' },
        { from: 'a', to: 'b', rate: '5Gbit/s' },
      ],
      /reservations\[1\]\.rate: .*11 Gbit\/s would be reserved of the 10 Gbit\/s of host a/,
    ],
    [[{ to: 'b', rate: '10Gbit/s' }], /reservations\[0\]\.rate: .*migrations need a part/],
    [[{ from: 'd', rate: '1Gbit/s' }], /hosts\.d\.rate: .*say what its port has, of which reservations\[0\] keeps/],
    [[{ from: 'a', to: 'd', rate: '1Gbit/s' }], /hosts\.d\.rate/],
    [[{ to: 'b', rate: '11Gbit/s' }], /reservations\[0\]\.rate: .*of host b/],
    [[{ from: 'a', to: 'c', rate: '5Gbit/s' }], /reservations\[0\]\.rate: .*the 4 Gbit\/s of link up/],
  ])('of what there is not are refused, with field and fix: %j', (reservations, message) => {
    expect(() => parseFleet({ hosts, links, reservations }, '/')).toThrow(message);
  });
});
