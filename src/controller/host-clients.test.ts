import { afterEach, beforeEach, expect, test } from 'vitest';
import type { KnownHost } from './fleet-file.ts';
import { HostClients } from './host-clients.ts';

let clients: HostClients;
beforeEach(() => {
  clients = new HostClients();
});
afterEach(() => clients[Symbol.asyncDispose]());

const known = (name: string, api: string, unproven: string | null = null): KnownHost => ({
  ...{ name, api, token: null, migration: null, bytesPerSecond: null, takesVms: true, labels: {} },
  registration: { sinceMs: 1, beats: true, unproven },
});

test('a host keeps its client while it is where it was', () => {
  expect(clients.follow({ hosts: [known('a', 'unix:/a'), known('b', 'unix:/b')] })).toEqual(['a', 'b']);
  const before = clients.of('a');
  expect(clients.follow({ hosts: [known('a', 'unix:/a'), known('b', 'unix:/c')] })).toEqual(['b']);
  expect([clients.of('a') === before, clients.of('a').url, clients.of('b').url]).toEqual([true, 'unix:/a', 'unix:/c']);
});

test('a host that is gone is none', () => {
  clients.follow({ hosts: [known('a', 'unix:/a'), known('b', 'unix:/b')] });
  expect(clients.follow({ hosts: [known('b', 'unix:/b')] })).toEqual(['a']);
  expect(() => clients.of('a')).toThrow(/give one of b/);
  expect(clients.all().map(([name]) => name)).toEqual(['b']);
});

test('a host that nobody has proven is silent, with the reason, and asked from then on', () => {
  clients.follow({ hosts: [known('a', 'unix:/a', 'it has not answered')] });
  expect(() => clients.of('a')).toThrow(expect.objectContaining({ code: 'GW_API_UNREACHABLE' }));
  clients.follow({ hosts: [known('a', 'unix:/a', 'its daemon was ended')] });
  expect(() => clients.of('a')).toThrow(/its daemon was ended/);
  expect(clients.follow({ hosts: [known('a', 'unix:/a')] })).toEqual(['a']);
  expect(clients.of('a').url).toBe('unix:/a');
});
