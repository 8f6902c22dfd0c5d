import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'undici';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AuditEntry } from '../src/api/audit.ts';
import type { Right } from '../src/api/right.ts';
import { GodwitClient } from '../src/client/godwit-client.ts';
import { TempDirectory } from './support/temp-directory.ts';
import { refusedWith, startTrialDaemon, type TrialDaemon } from './support/trial-daemon.ts';

const TOKEN = 'token-of-ops-0123456789';

let directory: TempDirectory;
beforeEach(() => {
  directory = new TempDirectory();
});
afterEach(() => directory[Symbol.dispose]());

/** At loopback, at an address that needs a token, and at a unix socket. */
async function start(
  rights: readonly Right[] = ['read'],
): Promise<TrialDaemon & { open: string; socket: string; lines(): AuditEntry[] }> {
  const tokensFile = directory.join('tokens.yaml');
  const auditLog = directory.join('audit.log');
  const socket = directory.join('api.sock');
  writeFileSync(tokensFile, `- {name: ops, token: ${TOKEN}, rights: [${rights.join(', ')}]}`, { mode: 0o600 });
  const listen = ['127.0.0.1:0', '0.0.0.0:0', `unix:${socket}`];
  const trial = await startTrialDaemon({ settings: { listen, tokensFile, auditLog, listenMode: '0660' } });
  return Object.assign(trial, {
    open: trial.daemon.api[1]!.replace('0.0.0.0', '127.0.0.1'),
    socket,
    lines: () =>
      readFileSync(auditLog, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as AuditEntry),
  });
}

test('a change has a line with who, what and how it ended; a look has none', async () => {
  await using trial = await start(['read', 'operate', 'migrate-send']);
  const ops = new GodwitClient({ url: trial.open, token: TOKEN });
  await ops.listVms();
  await ops.actOnVm('web1', 'pause');
  const { id } = await ops.migrate('web1', { to: '127.0.0.1:9' });
  await expect(ops.actOnVm('web1', 'resume')).rejects.toEqual(refusedWith('GW_MIGRATION_BUSY'));
  await expect(ops.createVm({ name: 'db1', memory: 'x' } as never)).rejects.toThrow();
  const common = { token: 'ops', address: '127.0.0.1', method: 'POST' };
  const route = '/v1/vms/{name}/actions';
  expect(trial.lines()).toEqual([
    expect.objectContaining({ ...common, route: `${route}/pause`, about: { vm: 'web1' }, status: 200, code: null }),
    expect.objectContaining({
      ...common,
      route: `${route}/migrate`,
      about: { vm: 'web1', migration: id },
      status: 202,
    }),
    expect.objectContaining({ ...common, route: `${route}/resume`, status: 409, code: 'GW_MIGRATION_BUSY' }),
    expect.objectContaining({
      ...common,
      route: '/v1/vms',
      about: { vm: 'db1' },
      status: 400,
      code: 'GW_INPUT_INVALID',
    }),
  ]);
  const [{ time, request: requestId }] = trial.lines() as [AuditEntry];
  expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(60_000);
  expect(requestId).toMatch(/^[0-9a-f]{16}$/);
  await ops.close();
});

test('what is refused has a line, also a look, and is counted; the token has none', async () => {
  await using trial = await start();
  const ops = new GodwitClient({ url: trial.open, token: TOKEN });
  await expect(ops.actOnVm('web1', 'kill')).rejects.toEqual(refusedWith('GW_API_FORBIDDEN'));
  const stranger = new GodwitClient({ url: trial.open, token: 'a-wrong-token-0123' });
  await expect(stranger.listVms()).rejects.toEqual(refusedWith('GW_API_UNAUTHORIZED'));
  const { headers, body } = await request(`${trial.open}/nothing?token=${TOKEN}`);
  await body.dump();
  expect(trial.lines()).toEqual([
    expect.objectContaining({ token: 'ops', status: 403, code: 'GW_API_FORBIDDEN', about: { vm: 'web1' } }),
    expect.objectContaining({ token: null, status: 401, code: 'GW_API_UNAUTHORIZED', method: 'GET', route: '/v1/vms' }),
    expect.objectContaining({ token: null, status: 401, route: null, request: headers['x-request-id'] }),
  ]);
  expect(readFileSync(directory.join('audit.log'), 'utf8')).not.toMatch(/token-of-ops|a-wrong-token/);
  const metrics = await trial.client.metrics();
  expect(metrics).toContain('godwit_host_api_refused_requests_total{status="401"} 2\n');
  expect(metrics).toContain('godwit_host_api_refused_requests_total{status="403"} 1\n');
  expect(metrics).toContain('godwit_host_audit_unwritten_total 0\n');
  for (const client of [ops, stranger]) await client.close();
});

test('who is at a unix socket is named by the kernel, and the socket has the mode that was set', async () => {
  await using trial = await start(['operate']);
  expect(statSync(trial.socket).mode & 0o777).toBe(0o660);
  const local = new GodwitClient({ url: `unix:${trial.socket}` });
  await local.actOnVm('web1', 'pause');
  await trial.client.actOnVm('web1', 'resume');
  const named = new GodwitClient({ url: `unix:${trial.socket}`, token: TOKEN });
  await named.actOnVm('web1', 'pause');
  const kernel = { uid: process.getuid!(), pid: process.pid };
  expect(trial.lines()).toEqual([
    expect.objectContaining({ token: null, ...kernel }),
    expect.objectContaining({ token: null, address: '127.0.0.1' }),
    expect.objectContaining({ token: 'ops', ...kernel }),
  ]);
  expect(trial.lines()[0]).not.toHaveProperty('address');
  for (const client of [local, named]) await client.close();
});
