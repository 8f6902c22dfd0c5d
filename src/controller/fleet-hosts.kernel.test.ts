import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { waitUntil } from '../../test/support/wait-until.ts';
import { parseFleet } from './fleet-file.ts';
import { FleetHosts } from './fleet-hosts.ts';

/** For an answer. */
const ANSWER_MS = 300;
/** Where all answer or break off. */
const PATIENTLY_MS = 10_000;
const NEVER = new AbortController().signal;
const ORDER = { requestId: 'r1' };

interface Trial extends AsyncDisposable {
  readonly hosts: FleetHosts;
}

/** A host's API by name, each as the test says. */
async function trialOf(apis: Readonly<Record<string, RequestListener>>, answerMs = ANSWER_MS): Promise<Trial> {
  await using stack = new AsyncDisposableStack();
  const known: Record<string, { api: string }> = {};
  for (const [name, api] of Object.entries(apis)) {
    const server = createServer(api).listen(0, '127.0.0.1');
    stack.defer(() => {
      server.closeAllConnections();
      server.close();
    });
    await once(server, 'listening');
    known[name] = { api: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  }
  const hosts = stack.use(new FleetHosts(parseFleet({ hosts: known }, '/'), answerMs));
  const all = stack.move();
  return { hosts, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

const json = (response: ServerResponse, status: number, body: object): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
};
const tells =
  (host: string): RequestListener =>
  (_, response) =>
    json(response, 200, { host, vms: [] });
const badGateway: RequestListener = (_, response) => void response.writeHead(502).end('<h1>Bad gateway</h1>');
const unauthorized: RequestListener = (_, response) =>
  json(response, 401, { code: 'GW_API_UNAUTHORIZED', message: 'needs a token', details: { fix: 'give one' } });

test('hosts that fail are told of by name with what to do, and the others are heard', async () => {
  const apis: Record<string, RequestListener> = {
    a: tells('a'),
    b: unauthorized,
    c: tells('somebody'),
    d: (request) => request.socket.destroy(),
    e: badGateway,
    f: (_, response) => void response.writeHead(403).end('<h1>Forbidden</h1>'),
    g: (_, response) =>
      json(response, 403, { code: 'GW_API_FORBIDDEN', message: 'fleet lacks the right read', details: {} }),
  };
  await using trial = await trialOf(apis, PATIENTLY_MS);
  const answers = await trial.hosts.ask();
  const failed = answers.flatMap((answer) => ('failure' in answer ? [answer] : []));
  expect(failed.filter(({ isRefusal }) => isRefusal).map(({ name }) => name)).toEqual(['b', 'c', 'e', 'f', 'g']);
  // Waiting helps none of these.
  expect(failed.filter(({ isFinal }) => isFinal).map(({ name }) => name)).toEqual(['b', 'c', 'f', 'g']);
  expect(answers).toMatchObject([
    { name: 'a', outlook: { host: 'a' } },
    {
      name: 'b',
      isRefusal: true,
      failure: expect.stringMatching(/token of b .*hosts\.b\.tokenFile/),
    },
    {
      name: 'c',
      isRefusal: true,
      failure: expect.stringMatching(/hosts\.c\.api.*host somebody answers there/),
    },
    { name: 'd', failure: expect.stringContaining('No godwit host answers') },
    { name: 'e', failure: expect.stringContaining('HTTP status 502') },
    { name: 'f', failure: expect.stringContaining('token of f') },
    { name: 'g', failure: 'fleet lacks the right read' },
  ]);
});

test('a sample of contents crosses once: the next look asks for what is new, and has all the same', async () => {
  const asked: (string | undefined)[] = [];
  await using trial = await trialOf({
    a: ({ url }, response) => {
      asked.push(url);
      const isFirst = asked.length === 1;
      const vm = { name: 'x', uuid: 'u', contents: isFirst ? 'sample' : null, contentsVersion: 'd.1' };
      json(response, 200, { host: 'a', vms: [vm], contentsCursor: 'd.1' });
    },
  });
  const contentsOf = async () => {
    const [answer] = await trial.hosts.ask();
    return answer && 'outlook' in answer ? answer.outlook.vms.map(({ contents }) => contents) : answer;
  };
  expect([await contentsOf(), await contentsOf()]).toEqual([['sample'], ['sample']]);
  expect(asked.map((url) => new URL(url!, 'http://host').searchParams.get('contentsAfter'))).toEqual([null, 'd.1']);
});

/** A host whose samples come in pieces, each when it is let; what is brief comes at once. */
function slowHost() {
  const asked: URLSearchParams[] = [];
  /** Pieces that are told from now on; the others are begun and never end. */
  let told = 0;
  const api: RequestListener = ({ url }, response) => {
    const query = new URL(url!, 'http://host').searchParams;
    const vm = (name: string, number: number, contents: string | null) => {
      return { name, uuid: name, contents, contentsVersion: `d.${number}` };
    };
    if (query.has('brief')) return json(response, 200, { host: 'a', vms: [{ uuid: 'x' }, { uuid: 'y' }] });
    asked.push(query);
    const next = Number(query.get('contentsAfter')?.slice(2) ?? 0) + 1;
    if (next > told)
      return void response.writeHead(200, { 'content-type': 'application/json' }).write('{"host": "a", ');
    const vms = [vm('x', 1, next === 1 ? 'X' : null), vm('y', 2, next === 2 ? 'Y' : null)];
    json(response, 200, { host: 'a', vms, contentsCursor: `d.${next}`, contentsLeft: next < 2 });
  };
  const tell = (pieces: number): void => {
    told = pieces;
  };
  return { api, asked, tell };
}

test('a host that takes long to tell what is in its VMs is heard without it, and goes on from where it had come to', async () => {
  const { api, asked, tell } = slowHost();
  await using trial = await trialOf({ a: api }, 1_000);
  const look = async () => {
    const [answer] = await trial.hosts.ask();
    if (!answer || !('outlook' in answer)) throw new Error(`It is not heard: ${JSON.stringify(answer)}`);
    return [answer.outlook.vms.map(({ contents }) => contents), answer.isPartial ?? false];
  };
  expect(await look()).toEqual([[null, null], true]);
  tell(1);
  expect(await look()).toEqual([['X', null], true]);
  tell(2);
  expect(await look()).toEqual([['X', 'Y'], false]);
  expect(asked.map((query) => query.get('contentsAfter'))).toEqual([null, null, 'd.1', 'd.1']);
  // Smaller pieces are asked for where one was late, and larger ones where one came fast.
  const limits = asked.map((query) => Number(query.get('contentsLimit')));
  expect([limits[1], limits[3]]).toEqual([limits[0]! / 4, limits[2]! / 4]);
});

test('a migration is followed to its end over a cut, whatever daemon tells it then', async () => {
  const ended = { kind: 'migrationEnded', migration: { id: 'm1', state: 'completed' } };
  let asked = 0;
  await using trial = await trialOf({
    a: (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      if (asked++ > 0) response.end(`event: migrationEnded\ndata: ${JSON.stringify(ended)}\n\n`);
      else response.write('retry: 1000\n\n', () => response.destroy());
    },
  });
  expect(await trial.hosts.endOf('a', 'm1', NEVER)).toMatchObject({ id: 'm1', state: 'completed' });
  expect(asked).toBe(2);
});

test('an error that says nothing of a migration is not taken for its end', async () => {
  const ended = { kind: 'migrationEnded', migration: { id: 'm1', state: 'completed' } };
  const begun = [{ id: 'm1', vm: 'x', direction: 'outgoing', startedAtMs: 9 }];
  let asked = 0;
  await using trial = await trialOf({
    a: (request, response) => {
      const turn = asked++ % 3;
      if (turn === 0) badGateway(request, response);
      else if (turn === 1) unauthorized(request, response);
      else if (request.url?.startsWith('/v1/migrations?')) json(response, 200, begun);
      else if (request.url?.startsWith('/v1/group')) json(response, 200, { id: 'g1', totalMs: 5, members: [] });
      else response.end(`event: migrationEnded\ndata: ${JSON.stringify(ended)}\n\n`);
    },
  });
  expect(await trial.hosts.endOf('a', 'm1', NEVER)).toMatchObject({ id: 'm1' });
  expect(await trial.hosts.endOfGroup('a', 'g1', NEVER)).toMatchObject({ group: { id: 'g1' } });
  expect(await trial.hosts.find('a', ORDER, NEVER)).toMatchObject({ id: 'm1' });
});

test('what a host refuses is thrown at once, and whoever watches no more is let go', async () => {
  const refusal = { code: 'GW_MIGRATION_BLOCKED', message: 'VM x cannot be migrated: no', details: {} };
  await using trial = await trialOf({ a: (_, response) => json(response, 409, refusal), b: () => undefined });
  await expect(trial.hosts.begin('a', 'x', { to: 'b:1' })).rejects.toMatchObject({ code: 'GW_MIGRATION_BLOCKED' });
  await expect(trial.hosts.endOf('a', 'm1', NEVER)).rejects.toMatchObject({ code: 'GW_MIGRATION_BLOCKED' });
  await expect(trial.hosts.begin('z', 'x', { to: 'b:1' })).rejects.toThrow('give one of a, b');
  const watching = new AbortController();
  const end = trial.hosts.endOf('b', 'm1', watching.signal);
  watching.abort();
  await expect(end).rejects.toThrow();
});

test('a host that takes a question and never answers it, as one that lost its power, is asked again', async () => {
  let asked = 0;
  await using trial = await trialOf({
    a: ({ url = '' }, response) => {
      if (asked++ % 2 === 0) return;
      const group = { id: 'g1', startedAtMs: 9, members: [{ vm: 'x' }], regions: [] };
      if (url === `/v1/group-migrations?requestId=${ORDER.requestId}`) json(response, 200, [group]);
      else if (url.startsWith('/v1/group')) json(response, 200, { id: 'g1', totalMs: 5, members: [] });
      else json(response, 200, [{ id: 'm1', vm: 'x', direction: 'outgoing', startedAtMs: 9 }] as unknown as object);
    },
  });
  expect(await trial.hosts.endOfGroup('a', 'g1', NEVER)).toMatchObject({ group: { id: 'g1' }, migrations: [] });
  expect(await trial.hosts.find('a', ORDER, NEVER)).toMatchObject({ id: 'm1' });
  expect(await trial.hosts.findGroup('a', ORDER, NEVER)).toMatchObject({ id: 'g1' });
  // An older controller gave none.
  expect(await trial.hosts.findGroup('a', {}, NEVER)).toBeNull();
  await expect(trial.hosts.migrationsOf('a')).rejects.toMatchObject({ code: 'GW_API_UNREACHABLE' });
});

test('a host that is silent holds up the first look only, and is heard as soon as it answers', async () => {
  let isSilent = true;
  await using trial = await trialOf({
    a: tells('a'),
    b: (request, response) => {
      if (!isSilent) tells('b')(request, response);
    },
  });
  const failure = expect.stringContaining('has not answered within');
  expect(await trial.hosts.ask()).toMatchObject([{ outlook: {} }, { failure }]);
  const beganAtMs = performance.now();
  expect(await trial.hosts.ask()).toMatchObject([{ outlook: {} }, { failure }]);
  expect(performance.now() - beganAtMs).toBeLessThan(ANSWER_MS * 0.8);
  isSilent = false;
  await waitUntil('it is heard', async () => 'outlook' in (await trial.hosts.ask())[1]!);
});

test.each([
  ['lost', ({ socket }: IncomingMessage) => void socket.destroy(), 'GW_API_UNREACHABLE'],
  ['an error of a proxy', badGateway, 'GW_INTERNAL'],
])('a migration that was begun although the answer was %s is found, and one that was not is told of', async (_what, answer, code) => {
  let begun: object[] = [];
  await using trial = await trialOf({
    a: (request, response) => {
      if (request.method === 'GET')
        return json(response, 200, request.url === '/v1/migrations?requestId=r1' ? begun : []);
      if (request.url === '/v1/vms/x/actions/migrate') begun = [{ id: 'm-x' }];
      answer(request, response as Parameters<RequestListener>[1]);
    },
  });
  expect(await trial.hosts.begin('a', 'x', { to: 'b:1', ...ORDER })).toMatchObject({ id: 'm-x' });
  await expect(trial.hosts.begin('a', 'y', { to: 'b:1', requestId: 'r2' })).rejects.toMatchObject({ code });
});

test('so is the migration of a group; that of another order is not taken for it', async () => {
  let begun: object[] = [];
  await using trial = await trialOf({
    a: (request, response) => {
      if (request.method === 'GET')
        return json(response, 200, request.url === '/v1/group-migrations?requestId=r1' ? begun : []);
      if (request.url === '/v1/groups/disk/actions/migrate') begun = [{ id: 'g-new' }];
      request.socket.destroy();
    },
  });
  expect(await trial.hosts.beginGroup('a', 'disk', { to: 'b:1', ...ORDER })).toMatchObject({ id: 'g-new' });
  await expect(trial.hosts.beginGroup('a', 'bus', { to: 'b:1', requestId: 'r2' })).rejects.toMatchObject({
    code: 'GW_API_UNREACHABLE',
  });
});
