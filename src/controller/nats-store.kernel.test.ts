/** What only the store on NATS does; what every store must do is in store.kernel.test.ts. */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { NatsServer } from '../../test/support/nats-server.ts';
import { openStore, unlessSilent } from '../../test/support/nats-store.ts';
import { waitUntil } from '../../test/support/wait-until.ts';

checkLeaks();

requireCapability('nats')('the store nats alone', () => {
  test('forgets what was removed, and nothing else', async () => {
    await using server = await NatsServer.open();
    await using store = await openStore(server);
    expect(await store.forgetRemoved(0)).toBe(0);
    for (const key of ['x.a', 'x.b', 'x.c']) {
      await store.write(key, key, null);
      await store.remove(key);
    }
    const again = await store.write('x.c', 'again', null);
    await store.write('x.d', 'kept', null);
    expect(await store.forgetRemoved(60_000)).toBe(0);
    expect(await store.forgetRemoved(0)).toBe(2);
    expect(await store.forgetRemoved(0)).toBe(0);
    expect((await store.list('x')).map(({ key, value, revision }) => [key, value, revision === again])).toEqual([
      ['x.c', 'again', true],
      ['x.d', 'kept', false],
    ]);
    expect(await store.write('x.a', 'new', null)).not.toBeNull();
  });

  test('tells a log of large items whole, the newest first, also when its newest was removed', async () => {
    await using server = await NatsServer.open();
    await using store = await openStore(server);
    // Random, so that it cannot be packed: 30 MB in all.
    const items = Array.from({ length: 50 }, (_, i) => ({ i, text: randomBytes(450_000).toString('base64') }));
    for (const item of items) await store.append('evacuations', `e${item.i}`, item);
    expect(await store.newest('evacuations', 1000)).toEqual(items.toReversed());
    expect(await store.newest('evacuations', 40)).toEqual(items.slice(10).toReversed());
    const connection = await connect({ servers: [server.url] });
    await (await jetstreamManager(connection)).streams.deleteMessage('godwit-evacuations', 50);
    await connection.close();
    const beganAtMs = performance.now();
    expect(await store.newest('evacuations', 3)).toEqual([items[48], items[47]]);
    // It is not waited for.
    expect(performance.now() - beganAtMs).toBeLessThan(2_000);
  });

  test('is refused with a wrong token, and goes on when a server that refused its token takes it again', async () => {
    await using server = await NatsServer.open('right');
    await expect(openStore(server, 'wrong')).rejects.toMatchObject({ code: 'GW_STORE_UNAVAILABLE' });
    await using store = await openStore(server, 'right');
    const revision = await store.write('x.y', 1, null);
    await server.kill();
    server.token = 'other';
    await server.start();
    // Longer than several tries to connect.
    await delay(2_000);
    await server.kill();
    server.token = 'right';
    await server.start();
    const found = await waitUntil('it answers', () => store.read('x.y').catch(unlessSilent), { intervalMs: 100 });
    expect(found).toMatchObject({ value: 1, revision });
  });
});
