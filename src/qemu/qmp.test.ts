import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { QmpClient } from './qmp.ts';

const GREETING =
  '{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":""},"capabilities":["oob"]}}\r\n';
const STOP = '{"timestamp":{"seconds":1700000000,"microseconds":123456},"event":"STOP"}\r\n';

interface Request {
  readonly execute: string;
  readonly arguments?: Record<string, unknown>;
  readonly id: number;
}

let directory: string;
let path: string;
let servers: Server[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'godwit-qmp-'));
  path = join(directory, 'qmp');
});
afterEach(() => {
  for (const server of servers) server.close();
  servers = [];
  rmSync(directory, { recursive: true, force: true });
});

/** Answers qmp_capabilities and gives all else to `answer`. */
function serve(answer: (request: Request, socket: Socket) => void): Promise<Server> {
  return listen((socket) => {
    socket.write(GREETING);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const request of lines.map((line) => JSON.parse(line) as Request)) {
        if (request.execute === 'qmp_capabilities') reply(socket, request.id, {});
        else answer(request, socket);
      }
    });
  });
}

function listen(onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    onConnection(socket);
  });
  servers.push(server);
  return new Promise((resolve) => server.listen(path, () => resolve(server)));
}

function reply(socket: Socket, id: number, value: unknown): void {
  socket.write(`${JSON.stringify({ return: value, id })}\r\n`);
}

describe('connecting', () => {
  test('takes the version from the greeting', async () => {
    await serve(() => undefined);
    using qmp = await QmpClient.connect(path);
    expect(qmp.qemuVersion).toBe('7.2.22');
  });

  test('waits for a socket that is not there yet', async () => {
    const connecting = QmpClient.connect(path, { timeoutMs: 5000 });
    await serve(() => undefined);
    using qmp = await connecting;
    expect(qmp.path).toBe(path);
  });

  test('says that there is no socket', async () => {
    await expect(QmpClient.connect(path, { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'GW_QMP_UNREACHABLE',
      message: expect.stringContaining('there is no such socket'),
    });
  });

  test('says that somebody else holds a silent socket', async () => {
    await listen(() => undefined);
    await expect(QmpClient.connect(path, { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'GW_QMP_BUSY',
      message: expect.stringContaining('another program is probably connected to it'),
    });
  });

  test.each([
    'HTTP/1.1 400 Bad Request\r\n',
    '{"hello":"world"}\n',
    '42\n',
  ])('refuses %j as a greeting', async (text) => {
    await listen((socket) => void socket.write(text));
    await expect(QmpClient.connect(path)).rejects.toMatchObject({ code: 'GW_QMP_PROTOCOL' });
  });

  test('refuses a peer that closes at once', async () => {
    await listen((socket) => socket.destroy());
    await expect(QmpClient.connect(path)).rejects.toMatchObject({ code: 'GW_QMP_PROTOCOL' });
  });

  test('ends with the reason of its signal', async () => {
    const reason = new Error('changed my mind');
    await expect(QmpClient.connect(path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await listen(() => undefined);
    const controller = new AbortController();
    const connecting = QmpClient.connect(path, { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 20);
    await expect(connecting).rejects.toBe(reason);
  });
});

describe('commands', () => {
  test('get their own answers, whatever the order', async () => {
    const waiting: Request[] = [];
    await serve((request, socket) => {
      waiting.push(request);
      if (waiting.length === 3) for (const { id, execute } of waiting.reverse()) reply(socket, id, execute);
    });
    using qmp = await QmpClient.connect(path);
    const answers = await Promise.all(['a', 'b', 'c'].map((name) => qmp.execute(name)));
    expect(answers).toEqual(['a', 'b', 'c']);
  });

  test('carry their arguments', async () => {
    await serve(({ id, arguments: given }, socket) => reply(socket, id, given));
    using qmp = await QmpClient.connect(path);
    expect(await qmp.execute('x', { a: [1, { b: 'ü' }] })).toEqual({ a: [1, { b: 'ü' }] });
  });

  test("fail with QEMU's own words and class", async () => {
    await serve(({ id }, socket) => {
      socket.write(`${JSON.stringify({ id, error: { class: 'GenericError', desc: "Device 'x' not found" } })}\n`);
    });
    using qmp = await QmpClient.connect(path);
    await expect(qmp.execute('device_del', { id: 'x' })).rejects.toMatchObject({
      code: 'GW_QMP_ERROR',
      message: "QEMU refused device_del: Device 'x' not found",
      details: { class: 'GenericError' },
    });
  });

  test('time out by name, and their late answer is dropped', async () => {
    await serve(({ id, execute }, socket) => {
      if (execute === 'slow') setTimeout(() => reply(socket, id, 'late'), 60);
      else reply(socket, id, execute);
    });
    using qmp = await QmpClient.connect(path);
    await expect(qmp.execute('slow', undefined, { timeoutMs: 20 })).rejects.toMatchObject({
      code: 'GW_QMP_TIMEOUT',
      message: 'QEMU did not answer slow within 20 ms',
    });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(await qmp.execute('next')).toBe('next');
  });

  test('are rejected when the peer closes', async () => {
    await serve((_, socket) => socket.destroy());
    using qmp = await QmpClient.connect(path);
    await expect(qmp.execute('quit')).rejects.toMatchObject({ code: 'GW_QMP_CLOSED' });
    await qmp.closed;
    await expect(qmp.execute('again')).rejects.toMatchObject({ code: 'GW_QMP_CLOSED' });
  });

  test('are rejected when this side closes', async () => {
    await serve(() => undefined);
    using qmp = await QmpClient.connect(path);
    const answers = [qmp.execute('a'), qmp.waitForEvent('STOP')];
    qmp.close();
    await expect(answers[0]).rejects.toMatchObject({ code: 'GW_QMP_CLOSED' });
    await expect(answers[1]).rejects.toMatchObject({ code: 'GW_QMP_CLOSED' });
  });

  test('are rejected when what comes is no JSON', async () => {
    await serve((_, socket) => void socket.write('oops\n'));
    using qmp = await QmpClient.connect(path);
    await expect(qmp.execute('a')).rejects.toMatchObject({ code: 'GW_QMP_PROTOCOL' });
  });

  test('get an answer that comes in single bytes', async () => {
    await serve(({ id }, socket) => {
      for (const byte of Buffer.from(`${JSON.stringify({ return: '€'.repeat(100), id })}\n`))
        socket.write(Buffer.of(byte));
    });
    using qmp = await QmpClient.connect(path);
    expect(await qmp.execute('a')).toBe('€'.repeat(100));
  });
});

describe('events', () => {
  test('come while a command waits, with QEMU’s time', async () => {
    await serve(({ id }, socket) => {
      socket.write(STOP);
      reply(socket, id, {});
    });
    using qmp = await QmpClient.connect(path);
    const event = qmp.waitForEvent('STOP');
    await qmp.execute('stop');
    expect(await event).toEqual({ event: 'STOP', data: {}, timestampMs: 1700000000123.456 });
  });

  test('are chosen by a predicate', async () => {
    await serve(({ id }, socket) => {
      for (const status of ['setup', 'active', 'completed']) {
        socket.write(
          `{"timestamp":{"seconds":1,"microseconds":0},"event":"MIGRATION","data":{"status":"${status}"}}\n`,
        );
      }
      reply(socket, id, {});
    });
    using qmp = await QmpClient.connect(path);
    const event = qmp.waitForEvent(({ data }) => data['status'] === 'completed');
    await qmp.execute('migrate');
    expect((await event).data).toEqual({ status: 'completed' });
  });

  test('that do not come time out by name', async () => {
    await serve(() => undefined);
    using qmp = await QmpClient.connect(path);
    await expect(qmp.waitForEvent('RESUME', { timeoutMs: 10 })).rejects.toMatchObject({
      code: 'GW_QMP_TIMEOUT',
      message: 'QEMU did not answer with the event RESUME within 10 ms',
    });
  });

  test('are not heard any more after removal', async () => {
    await serve(({ id }, socket) => {
      socket.write(STOP);
      reply(socket, id, {});
    });
    using qmp = await QmpClient.connect(path);
    const seen: string[] = [];
    const remove = qmp.onEvent(({ event }) => seen.push(event));
    await qmp.execute('a');
    remove();
    await qmp.execute('b');
    expect(seen).toEqual(['STOP']);
  });
});
