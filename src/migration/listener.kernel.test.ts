import { afterEach, beforeEach, expect, test } from 'vitest';
import { closeFd, getSocketOption } from '../linux/socket.ts';
import { listen, type OpenListener } from './listener.ts';
import { type OpenedConnection, openConnection } from './opening.ts';
import { encodeJoin } from './source-offer.ts';

const KEY = 'ab'.repeat(32);

let resources: AsyncDisposableStack;
beforeEach(() => {
  resources = new AsyncDisposableStack();
});
afterEach(() => resources.disposeAsync());

interface Joined {
  readonly dialled: number;
  readonly accepted: number;
}

/** Both ends of a connection that has joined a migration, the descriptors that threads get. */
async function connect(marks: { readonly dialler: number | null; readonly listener: number | null }): Promise<Joined> {
  const accepted = Promise.withResolvers<number>();
  const listener: OpenListener = await listen({
    host: '127.0.0.1',
    port: 0,
    features: [],
    hostName: 'b',
    dscp: marks.listener,
    tls: null,
    screen: () => Promise.reject(new Error('nobody offers')),
    onOffer: () => undefined,
    onJoin: (_join, takeFd) => {
      accepted.resolve(takeFd());
      return 'taken';
    },
  });
  resources.defer(() => listener.close());
  const to = `127.0.0.1:${listener.port}`;
  const opened: OpenedConnection = await openConnection(
    to,
    'a',
    { dscp: marks.dialler, tls: null },
    AbortSignal.timeout(10_000),
  );
  await opened.connection.send(encodeJoin(KEY, 'urgent'));
  const fds = { dialled: opened.connection.detach(), accepted: await accepted.promise };
  for (const fd of Object.values(fds)) resources.defer(() => closeFd(fd));
  return fds;
}

test('packets of both hosts have the mark of their own host', async () => {
  const { dialled, accepted } = await connect({ dialler: 8, listener: 10 });
  expect(getSocketOption(dialled, 'typeOfService')).toBe(8 << 2);
  expect(getSocketOption(accepted, 'typeOfService')).toBe(10 << 2);
});

test('packets are not marked when nobody asks for it', async () => {
  const { dialled, accepted } = await connect({ dialler: null, listener: null });
  expect(getSocketOption(dialled, 'typeOfService')).toBe(0);
  expect(getSocketOption(accepted, 'typeOfService')).toBe(0);
});
