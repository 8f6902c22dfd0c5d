import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
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
