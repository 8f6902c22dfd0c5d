import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { accessWith } from '../../test/support/api-access.ts';
import type { AuditEntry } from './audit.ts';
import type { FleetService, HostCall } from './fleet-service.ts';
import { pathAtHost } from './host-call-routes.ts';
import { buildFleetApiServer } from './server.ts';

test.each([
  ['/v1/hosts/a/api/v1/vms?x=1', '/v1/vms?x=1'],
  ['/v1/hosts/a/api/v1/vms/db%201/history', '/v1/vms/db%201/history'],
  ['/v1/hosts/a/api/metrics', '/metrics'],
])('%s leads to %s', (url, path) => {
  expect(pathAtHost(url)).toBe(path);
});

test.each([
  '/v1/hosts/a/api/',
  '/v1/hosts/a/api/other',
  '/v1/hosts/a/api//evil.example/v1/vms',
  '/v1/hosts/a/api/v1/../../admin',
  '/v1/hosts/a/api/v1/%2e%2e/admin',
])('%s is refused', (url) => {
  expect(() => pathAtHost(url)).toThrow('give a path of docs/api.md');
});

test.each([
  ['text/html', 'application/octet-stream'],
  [undefined, 'application/octet-stream'],
  ['application/jsonp', 'application/octet-stream'],
  ['application/json; charset=utf-8', 'application/json; charset=utf-8'],
  ['text/plain; version=0.0.4', 'text/plain; version=0.0.4'],
  ['text/event-stream', 'text/event-stream'],
])('what a host answers as %s is %s here, and no browser guesses otherwise', async (contentType, type) => {
  const callHost = async () => ({ status: 200, contentType, body: Readable.from(['<script>']) });
  const service = { callHost } as unknown as FleetService;
  const app = await buildFleetApiServer({ service, access: accessWith(null), version: '0' });
  const { headers } = await app.inject({ url: '/v1/hosts/a/api/v1/vms', headers: { host: 'localhost' } });
  expect(headers).toMatchObject({
    'content-type': type,
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
  });
  await app.close();
});

test.each([
  ['GET', '/v1/vms/web1', 200],
  ['POST', '/v1/vms/web1/actions/kill', 403],
  ['POST', '/v1/vms/web1/actions/%6bill', 403],
  ['POST', '/v1/of-a-newer-host', 403],
] as const)('by way of a controller a token that may only read gets for %s %s: %i', async (method, path, status) => {
  const asked: string[] = [];
  const written: AuditEntry[] = [];
  const callHost = async (host: string, call: HostCall) => {
    asked.push(`${host} ${call.path}`);
    return { status: 200, contentType: 'application/json', body: Readable.from(['{}']) };
  };
  const app = await buildFleetApiServer({
    service: { callHost } as unknown as FleetService,
    access: accessWith('secret', ['read']),
    audit: { record: (entry) => written.push(entry) },
    version: '0',
  });
  const headers = { authorization: 'Bearer secret' };
  const { statusCode } = await app.inject({ method, url: `/v1/hosts/a/api${path}`, headers });
  expect(statusCode).toBe(status);
  expect(asked).toEqual(status === 200 ? [`a ${path}`] : []);
  // As the host would take it.
  const about = { host: 'a', path: decodeURI(path) };
  expect(written).toMatchObject(status === 200 ? [] : [{ token: 'test', status, code: 'GW_API_FORBIDDEN', about }]);
  await app.close();
});
