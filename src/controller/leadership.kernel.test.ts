/** Which of several controllers leads, over a real NATS store that is also silent at times. */
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { NatsServer } from '../../test/support/nats-server.ts';
import { openStore, unlessSilent } from '../../test/support/nats-store.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { FakeClock } from '../base/clock.ts';
import { Leadership } from './leadership.ts';
import type { FleetStore } from './store.ts';

checkLeaks();

/** Of which the first leads. */
async function twoControllers(store: FleetStore) {
  const clock = new FakeClock(1000);
  const open = (id: string) => new Leadership({ store, id, name: id, clock, changed: () => undefined });
  const [a, b] = [open('a'), open('b')];
  await a.look();
  await b.look();
  return { clock, open, a, b };
}

requireCapability('nats')('several controllers', () => {
  test('one leads; another leads when it has been silent for a lease, or has said that it ends', async () => {
    await using server = await NatsServer.open();
    await using store = await openStore(server);
    const { clock, open, a, b } = await twoControllers(store);
    expect([a.leads, b.leads, b.leader]).toEqual([true, false, 'a']);
    clock.advance(14_000);
    await a.look();
    await b.look();
    clock.advance(9_000);
    expect(a.leads).toBe(true);
    clock.advance(5_000);
    await b.look();
    // It was held up, and has not even looked: it leads no more all the same, and nobody else does yet.
    expect([a.leads, b.leads]).toEqual([false, false]);
    // It says nothing for a lease.
    clock.advance(1_000);
    await b.look();
    expect([b.leads, b.leader]).toEqual([true, 'b']);
    await a.look();
    expect([a.leads, a.leader]).toEqual([false, 'b']);
    // Another life of the same one does not wait, nor does any when it has said that it ends.
    const again = open('b');
    await again.look();
    expect(again.leads).toBe(true);
    await again[Symbol.asyncDispose]();
    await a.look();
    expect([a.leads, a.leader]).toEqual([true, 'a']);
  });

  test('one that cannot say that it leads leads no more, and who cannot hear it does not take over', async () => {
    await using server = await NatsServer.open();
    await using store = await openStore(server);
    const { clock, a, b } = await twoControllers(store);
    await server.kill();
    clock.advance(5_000);
    await a.look();
    expect([a.leads, a.failure]).toEqual([true, expect.stringContaining('NATS')]);
    clock.advance(10_000);
    await Promise.all([a.look(), b.look()]);
    expect([a.leads, b.leads]).toEqual([false, false]);
    await server.start();
    await waitUntil('it answers', () => store.read('x.y').then(() => true, unlessSilent), { intervalMs: 50 });
    await b.look();
    expect(b.leads).toBe(false);
    await a.look();
    expect([a.leads, a.failure]).toEqual([true, null]);
  });
});
