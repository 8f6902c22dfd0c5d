import { expect, test } from 'vitest';
import { accessWith } from '../../test/support/api-access.ts';
import { buildApiServer } from './server.ts';
import type { HostService } from './service.ts';

test.each([
  ['/', true],
  ['/?x=1', true],
  ['/assets/a.js', true],
  ['/v1/vms', false],
  ['/v1/vms?/assets/', false],
  ['//v1/vms', false],
  ['/assets', false],
  ['/metrics', false],
  ['/healthz', false],
  ['/openapi.json', false],
  ['/nothing', false],
])('%s is given without a token: %s', async (url, isOpen) => {
  const service = {} as HostService;
  const app = await buildApiServer({ service, access: accessWith('0123456789abcdef'), version: '0' });
  expect((await app.inject(url)).statusCode !== 401).toBe(isOpen);
  await app.close();
});
