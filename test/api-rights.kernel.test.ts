import { writeFileSync } from 'node:fs';
import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RIGHTS, type Right } from '../src/api/right.ts';
import { digestOf } from '../src/api/tokens-file.ts';
import { GodwitClient } from '../src/client/godwit-client.ts';
import { parseFleet } from '../src/controller/fleet-file.ts';
import { FleetHosts } from '../src/controller/fleet-hosts.ts';
import { TempDirectory } from './support/temp-directory.ts';
import { refusedWith, startTrialDaemon, type TrialDaemon } from './support/trial-daemon.ts';

interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Of things that do not exist, so that nothing happens. */
  readonly path: string;
  readonly rights: readonly Right[];
}

let directory: TempDirectory;
let tokensFile: string;
beforeEach(() => {
  directory = new TempDirectory();
  tokensFile = directory.join('tokens.yaml');
});
afterEach(() => directory[Symbol.dispose]());

const tokenOf = (name: string): string => `token-of-${name}-0123456789`;

function write(holders: Readonly<Record<string, readonly string[]>>): void {
  const entries = Object.entries(holders).map(([name, rights]) => {
    return `- {name: ${name}, sha256: "${digestOf(tokenOf(name)).toString('hex')}", rights: [${rights.join(', ')}]}\n`;
  });
  writeFileSync(tokensFile, entries.join(''), { mode: 0o600 });
}

/** With an address that needs a token. */
async function startOpen(): Promise<TrialDaemon & { readonly url: string }> {
  const trial = await startTrialDaemon({ settings: { listen: ['127.0.0.1:0', '0.0.0.0:0'], tokensFile } });
  return Object.assign(trial, { url: trial.daemon.api[1]!.replace('0.0.0.0', '127.0.0.1') });
}

async function answerOf(
  url: string,
  { method, path }: Route,
  name?: string,
): Promise<{ status: number; body: string }> {
  const isReading = method === 'GET' || method === 'DELETE';
  const { statusCode, headers, body } = await request(`${url}${path}`, {
    method,
    headers: {
      ...(name === undefined ? {} : { authorization: `Bearer ${tokenOf(name)}` }),
      ...(isReading ? {} : { 'content-type': 'application/json' }),
    },
    ...(isReading ? {} : { body: '[]' }),
  });
  // A stream of events has no end.
  const text = headers['content-type'] === 'text/event-stream; charset=utf-8' ? '' : await body.text();
  body.destroy();
  return { status: statusCode, body: text };
}

async function routesOf(url: string, name: string): Promise<Route[]> {
  const all = { method: 'GET', path: '/openapi.json', rights: [] } as const;
  const { paths } = JSON.parse((await answerOf(url, all, name)).body) as {
    paths: Record<string, Record<string, { security: [object, { token: Right[] }] }>>;
  };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { security }]) => ({
      method: method.toUpperCase() as Route['method'],
      path: path.replace(/\{\w+\}/g, 'none'),
      rights: security[1].token,
    })),
  );
}

test('every route answers a token with its right, refuses one with all others by name, and one of nobody', async () => {
  const holders = Object.fromEntries(RIGHTS.map((right) => [right, [right]]));
  const others = Object.fromEntries(RIGHTS.map((right) => [`no-${right}`, RIGHTS.filter((other) => other !== right)]));
  write({ ...holders, ...others, all: RIGHTS });
  await using trial = await startOpen();
  const routes = await routesOf(trial.url, 'all');
  expect(routes.length).toBeGreaterThan(30);
  const told: string[] = [];
  for (const route of routes) {
    const what = `${route.method} ${route.path}`;
    const [right, ...further] = route.rights;
    if ((await answerOf(trial.url, route)).status !== 401) told.push(`${what} answers without a token`);
    // Which of several rights it is depends on a thing that exists (below).
    if (further.length > 0) continue;
    const { status } = await answerOf(trial.url, route, right ?? 'migrate-receive');
    if (status === 401 || status === 403) told.push(`${what} refuses ${right}`);
    if (right === undefined) continue;
    const refused = await answerOf(trial.url, route, `no-${right}`);
    const isNamed = refused.body.includes('GW_API_FORBIDDEN') && refused.body.includes(`no-${right} lacks`);
    if (refused.status !== 403 || !isNamed) told.push(`${what} answers no-${right}: ${refused.body}`);
  }
  expect(told).toEqual([]);
});

test('who may only send VMs away names no files, has no image removed and pauses no VM when a time is up', async () => {
  write({ sender: ['read', 'migrate-send'], ops: ['read', 'migrate-send', 'operate'] });
  await using trial = await startOpen();
  const [sender, ops] = ['sender', 'ops'].map((name) => new GodwitClient({ url: trial.url, token: tokenOf(name) }));
  const to = '127.0.0.1:9';
  const bodies = [
    { to, sourceDisks: 'delete' as const },
    { to, diskPaths: { disk0: '/etc/passwd' } },
    { to, timeoutMs: 1000, onTimeout: 'pause' as const },
  ];
  for (const body of bodies) {
    await expect(sender!.migrate('web1', body)).rejects.toMatchObject({
      details: { right: 'operate', token: 'sender' },
    });
  }
  const { id } = await sender!.migrate('web1', { to, sourceDisks: 'keep' });
  await expect(sender!.tuneMigration(id, { onTimeout: 'pause' })).rejects.toMatchObject({
    details: { right: 'operate' },
  });
  expect(await ops!.tuneMigration(id, { onTimeout: 'pause' })).toMatchObject({ id });
});

describe('a migration is commanded with the right of its direction', () => {
  test.each([
    ['outgoing', 'migrate-send', 'migrate-receive'],
    ['incoming', 'migrate-receive', 'migrate-send'],
  ] as const)('%s: with %s, not with %s', async (direction, right, other) => {
    write({ may: [right], others: ['read', 'operate', other] });
    await using trial = await startOpen();
    if (direction === 'outgoing') await trial.client.migrate('web1', { to: '127.0.0.1:9' });
    else {
      expect(trial.engine.offer('db1')).toEqual({ kind: 'admitted' });
      trial.engine.incoming({ id: 'in-1', vm: 'db1', peer: 'b' });
    }
    const [migration] = await trial.client.listMigrations();
    const client = (name: string) => new GodwitClient({ url: trial.url, token: tokenOf(name) });
    await expect(client('others').cancelMigration(migration!.id)).rejects.toThrow(
      new RegExp(`others lacks the right ${right}.*add ${right} to the rights of others`),
    );
    expect(await client('may').cancelMigration(migration!.id)).toMatchObject({ id: migration!.id });
  });
});

test('a controller needs read and migrate-send at a host, and no more', async () => {
  write({ fleet: ['read', 'migrate-send'] });
  await using trial = await startOpen();
  writeFileSync(directory.join('fleet.token'), tokenOf('fleet'));
  const file = parseFleet({ hosts: { a: { api: trial.url, tokenFile: 'fleet.token' } } }, directory.path);
  await using hosts = new FleetHosts(file);
  expect(await hosts.ask()).toMatchObject([{ name: 'a', outlook: { host: 'a' } }]);
  const order = { requestId: 'order-1', leader: { fleet: 'f', epoch: 1 } };
  expect(await hosts.find('a', order, AbortSignal.timeout(5000))).toBeNull();
  const { id } = await hosts.begin('a', 'web1', { to: '127.0.0.1:9', ...order });
  expect(await hosts.migrationsOf('a')).toMatchObject([{ id }]);
  expect(await hosts.cancel('a', id)).toMatchObject({ id });
});

test('tokens change while the daemon runs, and a file that is damaged changes nothing', async () => {
  write({ ops: ['read', 'operate'] });
  await using trial = await startOpen();
  const ops = new GodwitClient({ url: trial.url, token: tokenOf('ops') });
  expect(await ops.actOnVm('web1', 'pause')).toMatchObject({ state: 'paused' });
  write({ ops: ['read'] });
  await expect(ops.actOnVm('web1', 'resume')).rejects.toEqual(refusedWith('GW_API_FORBIDDEN'));
  writeFileSync(tokensFile, '- damaged');
  expect(await ops.listVms()).toHaveLength(1);
  write({ others: ['read'] });
  await expect(ops.listVms()).rejects.toEqual(refusedWith('GW_API_UNAUTHORIZED'));
  await ops.close();
});

test('a token that is given counts on loopback, too, where none is needed', async () => {
  write({ eyes: ['read'] });
  await using trial = await startOpen();
  const eyes = new GodwitClient({ url: trial.daemon.api[0]!, token: tokenOf('eyes') });
  await expect(eyes.actOnVm('web1', 'pause')).rejects.toEqual(refusedWith('GW_API_FORBIDDEN'));
  expect(await trial.client.actOnVm('web1', 'pause')).toMatchObject({ state: 'paused' });
  await eyes.close();
});

test('whose token is taken away reads on no stream, and is told why when he comes back', async () => {
  write({ eyes: ['read'], others: ['read'] });
  await using trial = await startOpen();
  const [eyes, others] = ['eyes', 'others'].map((name) => new GodwitClient({ url: trial.url, token: tokenOf(name) }));
  const [cut, kept] = [eyes!, others!].map((client) => client.events()[Symbol.asyncIterator]());
  const [first, second] = [cut!.next(), kept!.next()];
  await trial.client.actOnVm('web1', 'pause');
  await Promise.all([first, second]);
  write({ others: ['read'] });
  await expect(cut!.next()).rejects.toEqual(refusedWith('GW_API_UNREACHABLE'));
  await expect(eyes!.listVms()).rejects.toEqual(refusedWith('GW_API_UNAUTHORIZED'));
  await trial.client.actOnVm('web1', 'resume');
  expect((await kept!.next()).value).toMatchObject({ kind: 'vmChanged' });
  for (const client of [eyes!, others!]) await client.close();
});
