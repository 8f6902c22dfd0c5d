import type { FastifyRequest } from 'fastify';
import { expect, test } from 'vitest';
import { HostCallRights } from './host-call-right.ts';
import { RIGHTS } from './right.ts';

const rights = new HostCallRights();

test.each([
  ['GET', '/v1/vms', ['read']],
  ['HEAD', '/v1/vms', ['read']],
  ['GET', '/v1/vms/web1/console', ['read']],
  ['GET', '/healthz', []],
  ['POST', '/v1/vms', ['operate']],
  ['DELETE', '/v1/vms/web1', ['operate']],
  ['POST', '/v1/vms/web1/actions/kill', ['operate']],
  ['POST', '/v1/vms/a%2Fb/actions/kill', ['operate']],
  ['POST', '/v1/vms/web1/actions/migrate', ['migrate-send']],
  ['POST', '/v1/migrations/abc/actions/cancel', ['migrate-send', 'migrate-receive']],
] as const)('%s %s needs what the host’s route needs: %j', (method, path, needed) => {
  expect(rights.of(method, path)).toEqual(needed);
});

test.each([
  ['POST', '/v1/of-a-newer-host'],
  ['POST', '/v1/vms/web1/actions/%6digrate'],
  ['POST', '/v1/vms/web1/actions/kill/'],
  ['PATCH', '/v1/vms'],
])('%s %s, which is not known here, needs every right', (method, path) => {
  expect(rights.of(method, path)).toEqual(RIGHTS);
});

test('what a body asks for needs what it needs at the host', () => {
  const request = (body: unknown) => ({ method: 'POST', body }) as FastifyRequest;
  const path = '/v1/vms/web1/actions/migrate';
  expect(rights.ofBody(path, request({ to: 'b', sourceDisks: 'delete' }))).toEqual(['operate']);
  for (const body of [{ to: 'b' }, null, 'text', 7]) expect(rights.ofBody(path, request(body))).toEqual([]);
  expect(rights.ofBody('/v1/vms', request({ sourceDisks: 'delete' }))).toEqual([]);
});

test('what only reads and is not known here needs the right to read', () => {
  expect(rights.of('GET', '/v1/of-a-newer-host')).toEqual(['read']);
});
