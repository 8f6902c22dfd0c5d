import { expect, test } from 'vitest';
import type { OutlookView } from '../api/outlook-schema.ts';
import { parseFleet } from './fleet-file.ts';
import { picture } from './fleet-picture.ts';
import { refuseOwnAddresses } from './own-addresses.ts';

const outlook = (host: string, migration: string): OutlookView => ({
  host,
  migration,
  memoryBytes: 2 ** 30,
  bandwidthBytesPerSecond: 0,
  ways: {},
  outgoing: [],
  vms: [],
});

test.each([
  '0.0.0.0:7710',
  '[::]:7710',
  '127.0.0.1:7710',
  '[::1]:7710',
  'localhost:7710',
])('a host that says that it is reached at %s is no destination for hosts elsewhere', (migration) => {
  const hosts = { a: { api: 'http://10.0.0.1:7700' }, b: { api: 'http://10.0.0.2:7700' } };
  const refuse = (known: object, from: string, to: string | null): void => {
    const file = parseFleet({ hosts: known }, '/');
    refuseOwnAddresses(
      file,
      picture(file, [{ name: 'b', outlook: outlook('b', migration), askedAtMs: 0 }], 0),
      from,
      to,
    );
  };
  const wrong = /hosts\.b\.migration: .* give `migration: /;
  expect(() => refuse(hosts, 'a', null)).toThrow(wrong);
  expect(() => refuse({ ...hosts, b: { ...hosts.b, takesVms: false } }, 'a', 'b')).toThrow(wrong);
  refuse({ ...hosts, b: { ...hosts.b, migration: '10.0.0.2:7710' } }, 'a', null);
  // None is sent there.
  refuse(hosts, 'b', null);
  // Both on one machine: that is how they reach each other.
  refuse({ a: { api: 'http://127.0.0.1:1' }, b: { api: 'http://127.0.0.1:2' } }, 'a', null);
});

test('a silent host keeps what it told last, but takes no VMs', () => {
  const file = parseFleet({ hosts: { a: { api: 'unix:/a' }, b: { api: 'unix:/b' }, c: { api: 'unix:/c' } } }, '/');
  const last = { outlook: outlook('b', 'b:1'), askedAtMs: 1 };
  const seen = picture(
    file,
    [
      { name: 'a', outlook: outlook('a', 'a:1'), askedAtMs: 2 },
      { name: 'b', failure: 'no answer', isRefusal: false, isFinal: false, last },
      { name: 'c', failure: 'no answer', isRefusal: false, isFinal: false },
    ],
    0,
  );
  expect(seen.base.hosts.map(({ name, takesVms }) => [name, takesVms])).toEqual([
    ['a', true],
    ['b', false],
  ]);
  expect([...seen.askedAtMs]).toEqual([
    ['a', 2],
    ['b', 1],
  ]);
  expect(seen.failures).toEqual([
    { name: 'b', failure: 'no answer', isRefusal: false, isFinal: false, takesVms: true },
    { name: 'c', failure: 'no answer', isRefusal: false, isFinal: false, takesVms: true },
  ]);
});
