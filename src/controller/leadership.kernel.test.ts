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
  const open = (name: string) => new Leadership({ store, name, clock, changed: () => undefined });
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
    // When it has said that it ends nobody waits.
    await b[Symbol.asyncDispose]();
    await a.look();
    expect([a.leads, a.leader]).toEqual([true, 'a']);
    // Another life of the same one waits as any other does.
    const again = open('a');
    await again.look();
    expect(again.leads).toBe(false);
    clock.advance(15_000);
    await again.look();
    expect(again.leads).toBe(true);
  });

  test('of two with copies of one state directory one leads, and goes on leading', async () => {
    await using server = await NatsServer.open();
    await using store = await openStore(server);
    const { clock, a, open } = await twoControllers(store);
    const copy = open('a');
    for (let look = 0; look < 10; look++) {
      clock.advance(3_000);
      await a.look();
      await copy.look();
      expect([a.leads, copy.leads]).toEqual([true, false]);
    }
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
