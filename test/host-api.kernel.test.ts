import { appendFileSync } from 'node:fs';
import { request } from 'undici';
import { describe, expect, test } from 'vitest';
import type { HostEvent } from '../src/api/event-schema.ts';
import { CLIENT_IDLE_MS } from '../src/api/keep-alive.ts';
import { GodwitClient } from '../src/client/godwit-client.ts';
import { HostBudget } from '../src/transfer/host-budget.ts';
import { sampleProgress } from './support/scripted-engine.ts';
import { startTrialDaemon, type TrialDaemon } from './support/trial-daemon.ts';

async function call(
  trial: TrialDaemon,
  path: string,
  options: { method?: 'GET' | 'POST' | 'PATCH'; headers?: Record<string, string>; body?: string } = {},
): Promise<{ status: number; headers: Record<string, unknown>; text: string; json: unknown }> {
  const answer = await request(`${trial.daemon.api[0]}${path}`, options);
  const text = await answer.body.text();
  const isJson = String(answer.headers['content-type']).includes('json');
  return { status: answer.statusCode, headers: answer.headers, text, json: isJson ? JSON.parse(text) : undefined };
}

/** The first events that a reader gets which comes back with this id. */
async function firstEvents(trial: TrialDaemon, lastEventId: string, count: number): Promise<HostEvent[]> {
  const events: HostEvent[] = [];
  for await (const event of trial.client.events({ lastEventId })) {
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}

const asJson = { 'content-type': 'application/json' };

describe('answers', () => {
  test('an error is its table row: status, code, message, details', async () => {
    await using trial = await startTrialDaemon();
    const answer = await call(trial, '/v1/vms/nobody');
    expect(answer.status).toBe(404);
    expect(answer.json).toEqual({
      code: 'GW_NOT_FOUND',
      message: 'There is no VM named nobody on this host',
      details: { kind: 'VM', name: 'nobody' },
    });
  });

  test.each([
    ['not JSON', asJson, '{', 'request body'],
    ['another content type', { 'content-type': 'text/plain' }, '{}', 'request body'],
    ['too large', asJson, JSON.stringify({ name: 'x'.repeat(300_000) }), 'request body'],
    ['an unknown field', asJson, '{"name":"w","memory":"64MiB","vcpu":1}', 'vcpu'],
  ])('a body that is %s is an input error', async (_what, headers, body, field) => {
    await using trial = await startTrialDaemon();
    const answer = await call(trial, '/v1/vms', { method: 'POST', headers, body });
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ code: 'GW_INPUT_INVALID', details: { field } });
  });

  test('migrate answers 202 with the migration and where it is found', async () => {
    await using trial = await startTrialDaemon();
    const body = JSON.stringify({ to: '127.0.0.1:9' });
    const answer = await call(trial, '/v1/vms/web1/actions/migrate', { method: 'POST', headers: asJson, body });
    expect(answer.status).toBe(202);
    const { id } = answer.json as { id: string };
    expect(answer.headers['location']).toBe(`/v1/migrations/${id}`);
    expect((await call(trial, `/v1/migrations/${id}`)).json).toMatchObject({ id, vm: 'web1', state: 'running' });
  });

  test('an action takes an empty body as well as none', async () => {
    await using trial = await startTrialDaemon();
    expect((await call(trial, '/v1/vms/web1/actions/pause', { method: 'POST' })).status).toBe(200);
    const answer = await call(trial, '/v1/vms/web1/actions/resume', { method: 'POST', headers: asJson, body: '{}' });
    expect(answer.status).toBe(200);
  });
});

test('a host keeps an idle connection far longer than the client does', async () => {
  await using trial = await startTrialDaemon();
  const { headers } = await call(trial, '/healthz');
  const idleSeconds = Number(/^timeout=(\d+)$/.exec(String(headers['keep-alive']))?.[1]);
  // Also when the host comes late to reading what has arrived.
  expect(idleSeconds * 1000).toBeGreaterThan(4 * CLIENT_IDLE_MS);
});

describe('access', () => {
  test.each([
    ['a web page reached by a name of its own', { host: 'evil.example:7700' }],
    ['a web page of another site', { origin: 'https://evil.example' }],
    ['a web page of another server of this machine', { origin: 'http://127.0.0.1:3000' }],
    ['a web page of no site', { origin: 'null' }],
    ['a wrong token', { authorization: 'Bearer wrong' }],
  ])('%s is refused', async (_what, headers) => {
    await using trial = await startTrialDaemon();
    const answer = await call(trial, '/v1/vms/web1/actions/pause', { method: 'POST', headers });
    expect(answer.status).toBe(401);
    expect(answer.json).toMatchObject({ code: 'GW_API_UNAUTHORIZED' });
    expect(trial.qmp.commands).not.toContain('stop');
  });

  test('an address that other machines can reach takes the token and nothing else', async () => {
    const settings = { listen: ['0.0.0.0:0', '127.0.0.1:0'] };
    await using trial = await startTrialDaemon({ settings, token: 'sixteen-characters' });
    const open = trial.daemon.api[0]!.replace('0.0.0.0', '127.0.0.1');
    const withoutToken = new GodwitClient({ url: open });
    const withToken = new GodwitClient({ url: open, token: 'sixteen-characters' });
    const local = new GodwitClient({ url: trial.daemon.api[1]! });
    await expect(withoutToken.listVms()).rejects.toThrow(/needs a bearer token/);
    expect(await withToken.listVms()).toHaveLength(1);
    expect(await local.listVms()).toHaveLength(1);
    for (const client of [withoutToken, withToken, local]) await client.close();
  });

  test('a unix socket serves the same API', async () => {
    const path = `/tmp/godwit-api-${process.pid}.sock`;
    await using trial = await startTrialDaemon({ settings: { listen: ['127.0.0.1:0', `unix:${path}`] } });
    const client = new GodwitClient({ url: `unix:${path}` });
    expect(await client.host()).toMatchObject({ name: 'a', api: [trial.daemon.api[0], `unix:${path}`] });
    await client.close();
  });
});

describe('console', () => {
  test('gives what was written, its tail, and on with what is written later', async () => {
    await using trial = await startTrialDaemon();
    expect(await trial.client.consoleText('web1')).toBe('hello from the guest\n');
    expect(await trial.client.consoleText('web1', { tail: 6 })).toBe('guest\n');
    const stop = new AbortController();
    let text = '';
    const following = (async () => {
      for await (const chunk of trial.client.followConsole('web1', { signal: stop.signal }))
        text += Buffer.from(chunk).toString();
    })();
    await expect.poll(() => text).toBe('hello from the guest\n');
    appendFileSync(trial.record.consoleLogPath!, 'and more\n');
    await expect.poll(() => text).toBe('hello from the guest\nand more\n');
    stop.abort();
    await following;
  });

  test('ends when the VM has left', async () => {
    await using trial = await startTrialDaemon();
    await trial.client.migrate('web1', { to: '127.0.0.1:9' });
    let text = '';
    const following = (async () => {
      for await (const chunk of trial.client.followConsole('web1')) text += Buffer.from(chunk).toString();
    })();
    await expect.poll(() => text).toBe('hello from the guest\n');
    trial.engine.outgoing[0]!.finish({ kind: 'left', to: 'b', epoch: 2 });
    await following;
  });
});

describe('events', () => {
  test('a reader that was cut off gets what it missed, in order', async () => {
    await using trial = await startTrialDaemon();
    const [unknown] = await firstEvents(trial, 'of-another-life', 1);
    expect(unknown).toMatchObject({ kind: 'eventsMissed' });
    await trial.client.actOnVm('web1', 'pause');
    await trial.client.actOnVm('web1', 'resume');
    expect(await firstEvents(trial, unknown!.id, 2)).toMatchObject([
      { kind: 'vmChanged', vm: { state: 'paused' } },
      { kind: 'vmChanged', vm: { state: 'running' } },
    ]);
  });

  test('may be asked for one VM or one migration only', async () => {
    await using trial = await startTrialDaemon();
    const kinds: string[] = [];
    const stop = new AbortController();
    const reading = (async () => {
      for await (const event of trial.client.events({ vm: 'other', signal: stop.signal })) kinds.push(event.kind);
    })();
    await trial.client.actOnVm('web1', 'pause');
    stop.abort();
    await reading;
    expect(kinds).toEqual([]);
  });

  test('events of a migration that has ended are its end', async () => {
    await using trial = await startTrialDaemon();
    const { id } = await trial.client.migrate('web1', { to: '127.0.0.1:9' });
    trial.engine.outgoing[0]!.finish({ kind: 'stays' }, { outcome: 'failed' });
    await expect.poll(async () => (await trial.client.showMigration(id)).state).toBe('failed');
    const kinds: string[] = [];
    for await (const event of trial.client.watchMigration(id)) kinds.push(event.kind);
    expect(kinds).toEqual(['migrationEnded']);
  });

  test('events of a migration that ended while a reader was away are what it missed, and its end once', async () => {
    await using trial = await startTrialDaemon();
    const [missed] = await firstEvents(trial, 'of-another-life', 1);
    const { id } = await trial.client.migrate('web1', { to: '127.0.0.1:9' });
    trial.engine.outgoing[0]!.finish({ kind: 'stays' }, { outcome: 'failed' });
    await expect.poll(async () => (await trial.client.showMigration(id)).state).toBe('failed');
    const headers = { 'last-event-id': missed!.id };
    const { text } = await call(trial, `/v1/migrations/${id}/events`, { headers });
    expect([...text.matchAll(/^event: (.*)$/gm)].map(([, kind]) => kind)).toEqual([
      'migrationStarted',
      'migrationEnded',
    ]);
    // An error that nobody catches would have come by now.
    expect(await trial.client.host()).toMatchObject({ name: 'a' });
  });
});

describe('the bandwidth limit of the host', () => {
  const LIMIT = 625_000_000;

  test('is changed for all migrations at once, which is told and shown', async () => {
    await using trial = await startTrialDaemon({ settings: { bandwidth: 1000, dscp: 8 } });
    await trial.client.migrate('web1', { to: '127.0.0.1:9' });
    const { traffic } = trial.engine.inputs[0]!;
    const ofThread = new HostBudget(traffic.budget);
    expect([ofThread.bytesPerSecond, traffic.dscp]).toEqual([1000, 8]);
    const events = trial.client.events()[Symbol.asyncIterator]();
    const told = events.next();
    await expect.poll(() => trial.client.host()).toMatchObject({ bandwidthBytesPerSecond: 1000, dscp: 8 });
    const changed = await trial.client.tuneHost({ bandwidthBytesPerSecond: LIMIT });
    expect(changed).toMatchObject({ name: 'a', bandwidthBytesPerSecond: LIMIT });
    expect(ofThread.bytesPerSecond).toBe(LIMIT);
    expect((await told).value).toMatchObject({ kind: 'hostChanged', host: changed });
    await events.return?.();
    expect(await trial.client.host()).toEqual(changed);
    expect(await trial.client.metrics()).toMatch(/^godwit_host_bandwidth_limit_bytes_per_second 625000000$/m);
  });

  test.each([
    ['{}', 'GW_INPUT_MISSING'],
    ['{"bandwidthBytesPerSecond":-1}', 'GW_INPUT_INVALID'],
    ['{"bandwidthBytesPerSecond":"5Gbit/s"}', 'GW_INPUT_INVALID'],
    ['{"name":"b"}', 'GW_INPUT_INVALID'],
  ])('is not changed by %s', async (body, code) => {
    await using trial = await startTrialDaemon();
    const answer = await call(trial, '/v1/host', { method: 'PATCH', headers: asJson, body });
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ code });
    expect(await trial.client.host()).toMatchObject({ bandwidthBytesPerSecond: 0, dscp: null });
  });
});

describe('metrics', () => {
  test('have the names that are promised, and a migration’s own gauges go with it', async () => {
    await using trial = await startTrialDaemon();
    await trial.client.migrate('web1', { to: '127.0.0.1:9' });
    const handle = trial.engine.outgoing[0]!;
    handle.emit({ kind: 'phaseChanged', phase: 'copying', atMs: Date.now() });
    handle.emit({ kind: 'progressed', progress: sampleProgress({ sentBytes: 1000, throttlePercent: 20 }) });
    const during = await trial.client.metrics();
    const labels = '{vm="web1",direction="outgoing"}';
    for (const line of [
      `godwit_vm_migration_data_bytes_total${labels} 1000`,
      `godwit_vm_migration_data_remaining_bytes${labels} ${300 * 2 ** 20}`,
      `godwit_vm_migration_dirty_memory_rate_bytes_per_second${labels} ${12 * 2 ** 20}`,
      `godwit_vm_migration_throttle_ratio${labels} 0.2`,
      'godwit_vm_migrations_in_copying_phase 1',
      'godwit_vms{state="running"} 0',
    ]) {
      expect(during).toContain(`${line}\n`);
    }
    handle.finish({ kind: 'stays' }, { outcome: 'completed', wireBytes: 1500, downtimeMs: 12 });
    await expect
      .poll(() => trial.client.metrics())
      .toContain('godwit_vm_migrations_total{direction="outgoing",mode="auto",outcome="completed"} 1');
    const after = await trial.client.metrics();
    expect(after).toContain(`godwit_vm_migration_data_bytes_total${labels} 1500\n`);
    expect(after).toContain('godwit_vm_migration_downtime_seconds_bucket{le="0.02",direction="outgoing"} 1');
    expect(after).toContain('godwit_vm_migrations_in_copying_phase 0');
    expect(after).not.toContain('godwit_vm_migration_data_remaining_bytes{');
  });

  test('only counters end in _total', async () => {
    await using trial = await startTrialDaemon();
    const types = [...(await trial.client.metrics()).matchAll(/^# TYPE (godwit_vm\S*) (\S+)$/gm)];
    expect(types.length).toBeGreaterThan(20);
    expect(types.filter(([, name, type]) => name!.endsWith('_total') !== (type === 'counter'))).toEqual([]);
  });
});

describe('OpenAPI', () => {
  test('is version 3.1 and names every schema once', async () => {
    await using trial = await startTrialDaemon();
    const document = (await call(trial, '/openapi.json')).json as {
      openapi: string;
      components: { schemas: Record<string, unknown> };
    };
    expect(document.openapi).toBe('3.1.0');
    expect(Object.keys(document.components.schemas).sort()).toEqual([
      'AdoptRequest',
      'CheckRequest',
      'CheckResult',
      'Commonality',
      'DiskProgress',
      'DiskReport',
      'Error',
      'GoRequest',
      'Group',
      'GroupDetail',
      'GroupFollowRequest',
      'GroupMigrateRequest',
      'GroupMigration',
      'History',
      'Host',
      'MigrateRequest',
      'Migration',
      'MigrationOptions',
      'MigrationProgress',
      'MigrationReport',
      'Outlook',
      'StopRequest',
      'TuneHostRequest',
      'TuneRequest',
      'UpgradeReport',
      'UpgradeRequest',
      'Vm',
      'VmSpec',
    ]);
  });
});
