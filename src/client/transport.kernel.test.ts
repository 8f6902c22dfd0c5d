/** Connections that are closed at the wrong moment, by a server that answers as it is told. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Transport } from './transport.ts';

const ANSWER =
  'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nkeep-alive: timeout=120\r\n\r\n{}';

/** A request that has arrived. */
interface Arrival {
  /** Which connection it came on, from 1, and which of its requests it is, from 1. */
  readonly connection: number;
  readonly turn: number;
  readonly method: string;
  readonly socket: Socket;
}

let server: Server;
let transport: Transport;
let arrivals: Arrival[];
let respond: (arrival: Arrival) => void;

const answer = ({ socket }: Arrival): void => void socket.write(ANSWER);
const finish = ({ socket }: Arrival): void => void socket.end();
const reset = ({ socket }: Arrival): void => void socket.resetAndDestroy();
/** As a host does whose time for idle connections is over: only what comes first on one is answered. */
const closeWhenReused =
  (close: (arrival: Arrival) => void) =>
  (arrival: Arrival): void =>
    arrival.turn === 1 ? answer(arrival) : close(arrival);

async function get(): Promise<unknown> {
  const body = await transport.json({ method: 'GET', path: '/v1/vms' });
  // The connection is free for the next request a turn of the event loop after the answer.
  await nextTurn();
  return body;
}
const post = (): Promise<unknown> => transport.json({ method: 'POST', path: '/v1/vms', body: {} });
const seen = (): string[] => arrivals.map(({ method, connection, turn }) => `${method} ${connection}.${turn}`);

beforeEach(async () => {
  arrivals = [];
  respond = answer;
  let connections = 0;
  server = createServer((socket) => {
    const connection = ++connections;
    let turn = 0;
    socket.on('error', () => socket.destroy());
    // The requests here are small and one waits for the other's answer: each is one chunk.
    socket.on('data', (chunk) => {
      const arrival = { connection, turn: ++turn, method: chunk.toString('latin1').split(' ')[0]!, socket };
      arrivals.push(arrival);
      respond(arrival);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  transport = new Transport({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
});

afterEach(async () => {
  await transport.close();
  server.close();
});

test('requests that read share a connection', async () => {
  await get();
  await get();
  expect(seen()).toEqual(['GET 1.1', 'GET 1.2']);
});

test.each([
  ['closed', finish],
  ['reset', reset],
])('a read whose kept connection is %s before the answer is sent once more, on a new one', async (_how, close) => {
  respond = closeWhenReused(close);
  await get();
  expect(await get()).toEqual({});
  expect(seen()).toEqual(['GET 1.1', 'GET 1.2', 'GET 2.1']);
});

test('the new connection is no other one that was kept, which may be closed as well', async () => {
  respond = (arrival) => {
    if (arrivals.length === 2) for (const waiting of arrivals) answer(waiting);
    else if (arrivals.length > 2) closeWhenReused(finish)(arrival);
  };
  await Promise.all([get(), get()]);
  expect(await get()).toEqual({});
  expect(seen().at(-1)).toBe('GET 3.1');
});

test('it is sent no third time', async () => {
  await get();
  respond = finish;
  await expect(get()).rejects.toThrow(/No godwit host answers at .*: the connection was closed/);
  expect(seen()).toEqual(['GET 1.1', 'GET 1.2', 'GET 2.1']);
});

test('a request that changes something comes on a connection of its own', async () => {
  respond = closeWhenReused(finish);
  await get();
  await post();
  await post();
  expect(seen()).toEqual(['GET 1.1', 'POST 2.1', 'POST 3.1']);
});

test('and is not sent again', async () => {
  respond = finish;
  await expect(post()).rejects.toThrow(/the connection was closed/);
  expect(seen()).toEqual(['POST 1.1']);
});

test('a stream that falls silent is given up: a machine that has lost its power says no goodbye', async () => {
  respond = ({ socket }) => void socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n');
  const heard: string[] = [];
  const listen = async (): Promise<void> => {
    const stream = transport.stream({ method: 'GET', path: '/v1/events', longestSilenceMs: 500 });
    for await (const chunk of stream) heard.push(Buffer.from(chunk).toString());
  };
  await expect(listen()).rejects.toThrow('it has fallen silent');
  expect(heard).toEqual(['hi']);
});

test('so is an answer that does not begin', async () => {
  respond = () => undefined;
  const call = { method: 'POST', path: '/v1/vms', body: {}, longestSilenceMs: 500 } as const;
  await expect(transport.json(call)).rejects.toThrow('no answer in time');
  expect(arrivals).toHaveLength(1);
});

test('a stream that is left before its first word just ends: who presses Ctrl-C is told of no error', async () => {
  const left = new AbortController();
  respond = () => left.abort();
  for await (const _ of transport.stream({ method: 'GET', path: '/v1/events', signal: left.signal })) expect.fail();
  expect(seen()).toEqual(['GET 1.1']);
});
