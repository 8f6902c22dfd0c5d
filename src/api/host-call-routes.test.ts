import { expect, test } from 'vitest';
import { pathAtHost } from './host-call-routes.ts';

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
