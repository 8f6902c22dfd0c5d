import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { KnownOrders } from './known-orders.ts';
import type { Logger } from './logger.ts';

let state: string;
let errors: string[];
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'godwit-orders-'));
  errors = [];
});
afterEach(() => rmSync(state, { recursive: true }));

const open = (): KnownOrders => {
  const log = { error: (_facts: object, text: string) => void errors.push(text) };
  return new KnownOrders(state, log as unknown as Logger);
};

/** Gives an order, which begins migrations m1, m2, … */
function hostOf(orders: KnownOrders) {
  let count = 0;
  const give = (order: { requestId?: string; leader?: { fleet: string; epoch: number } }, what = 'VM x') =>
    orders.once(
      what,
      order,
      async () => {
        const id = `m${++count}`;
        orders.begun(what, order, id);
        await new Promise(setImmediate);
        return id;
      },
      (id) => `again ${id}`,
    );
  return { give, count: () => count };
}

test('an order that is given several times, at once or later, begins one migration', async () => {
  const { give, count } = hostOf(open());
  expect(await Promise.all([give({ requestId: 'r1' }), give({ requestId: 'r1' })])).toEqual(['m1', 'again m1']);
  expect(await give({ requestId: 'r1' })).toBe('again m1');
  expect(await give({ requestId: 'r2' })).toBe('m2');
  expect(await give({})).toBe('m3');
  expect(count()).toBe(3);
});

test('so it does after a restart of the daemon', async () => {
  await hostOf(open()).give({ requestId: 'r1' });
  const { give, count } = hostOf(open());
  expect(await give({ requestId: 'r1' })).toBe('again m1');
  expect(count()).toBe(0);
});

test('an order that could not be carried out may be given again', async () => {
  const orders = open();
  const order = { requestId: 'r1' };
  const failing = async (): Promise<string> => {
    orders.begun('VM x', order, 'm0');
    orders.undone(order);
    throw new Error('no');
  };
  await expect(orders.once('VM x', order, failing, String)).rejects.toThrow('no');
  expect(await hostOf(orders).give(order)).toBe('m1');
});

test('one id is of one order', async () => {
  const { give } = hostOf(open());
  await give({ requestId: 'r1' });
  await expect(give({ requestId: 'r1' }, 'VM y')).rejects.toThrow(
    'requestId: r1 is not valid: give another one: it was given for VM x',
  );
});

test('once another controller leads, nothing that an earlier one orders begins, but what it had ordered is told', async () => {
  const orders = open();
  const { give, count } = hostOf(orders);
  const old = { fleet: 'f', epoch: 1 };
  await give({ requestId: 'r1', leader: old });
  expect(orders.acknowledge({ fleet: 'f', epoch: 2 })).toEqual({ fleet: 'f', epoch: 2 });
  await expect(give({ requestId: 'r2', leader: old })).rejects.toMatchObject({ code: 'GW_ORDER_OUTDATED' });
  expect(() => open().acknowledge(old)).toThrow('epoch 1, and epoch 2 is known here');
  expect(await give({ requestId: 'r3', leader: { fleet: 'another', epoch: 1 } })).toBe('m2');
  expect(await give({ requestId: 'r1', leader: { fleet: 'f', epoch: 2 } })).toBe('again m1');
  // An order says as well who leads.
  await give({ requestId: 'r4', leader: { fleet: 'f', epoch: 5 } });
  await expect(give({ requestId: 'r5', leader: { fleet: 'f', epoch: 4 } })).rejects.toThrow('epoch 5');
  expect(count()).toBe(3);
});

test('a file that is damaged is told of, and orders are carried out all the same', async () => {
  writeFileSync(join(state, 'orders.json'), '{"orders": [');
  expect(await hostOf(open()).give({ requestId: 'r1' })).toBe('m1');
  expect(errors).toEqual(['cannot read which orders this host was given']);
});

largerTest('the newest 1000 are kept', async () => {
  const orders = open();
  for (let i = 0; i <= 1000; i++) orders.begun('VM x', { requestId: `r${i}` }, `m${i}`);
  const kept = await Promise.all(['r0', 'r1', 'r1000'].map((id) => orders.migrationOf(id)));
  expect(kept).toEqual([undefined, 'm1', 'm1000']);
});

test('an order that waits, as for a hook, begins nothing once another controller leads', async () => {
  const orders = open();
  const hook = Promise.withResolvers<void>();
  const order = { requestId: 'r1', leader: { fleet: 'f', epoch: 3 } };
  const given = orders.once(
    'VM x',
    order,
    async () => {
      await hook.promise;
      orders.begun('VM x', order, 'm1');
      return 'm1';
    },
    (id) => id,
  );
  const sought = orders.migrationOf('r1');
  orders.acknowledge({ fleet: 'f', epoch: 4 });
  hook.resolve();
  await expect(given).rejects.toMatchObject({ code: 'GW_ORDER_OUTDATED' });
  expect(await sought).toBeUndefined();
});

test('whether an order has begun something is said once it is known', async () => {
  const orders = open();
  const hook = Promise.withResolvers<void>();
  const begin = async (): Promise<string> => {
    await hook.promise;
    orders.begun('VM x', { requestId: 'r1' }, 'm1');
    return 'm1';
  };
  const given = orders.once('VM x', { requestId: 'r1' }, begin, (id) => id);
  const sought = orders.migrationOf('r1');
  hook.resolve();
  expect(await given).toBe('m1');
  expect(await sought).toBe('m1');
});
