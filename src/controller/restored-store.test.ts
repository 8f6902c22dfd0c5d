/** A fleet whose store was restored from a backup: hosts know more of who has led than it does. */
import { copyFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import type { Leader } from '../api/order-schema.ts';
import { FakeClock } from '../base/clock.ts';
import { KnownOrders } from '../host/known-orders.ts';
import { Leadership } from './leadership.ts';
import { SqliteStore } from './sqlite-store.ts';
import type { FleetStore } from './store.ts';

const clock = new FakeClock(1000);
const open = (store: FleetStore, name = 'a') => new Leadership({ store, name, clock, changed: () => undefined });

/** A controller lives for a moment. @returns what its orders bear */
async function lead(path: string): Promise<Leader> {
  await using store = new SqliteStore(path);
  await using leadership = open(store);
  await leadership.look();
  return leadership.orders!;
}

test('its orders are refused with the command that helps, and taken once that was given', async () => {
  using directory = new TempDirectory();
  const path = directory.join('fleet.sqlite');
  const host = new KnownOrders(directory.path, { warn: () => undefined } as never);
  host.acknowledge(await lead(path));
  copyFileSync(path, directory.join('backup'));
  for (let i = 0; i < 2; i++) host.acknowledge(await lead(path));
  const known = 3;
  copyFileSync(directory.join('backup'), path);
  await using store = new SqliteStore(path);
  await using leadership = open(store);
  await leadership.look();
  const order = (): Leader => host.acknowledge(leadership.orders!);
  expect(order).toThrow(`\`godwit fleet lead --epoch ${known}\``);
  const raised = await leadership.raise(known);
  expect([raised, leadership.orders]).toEqual([order(), raised]);
  expect(raised.epoch).toBe(known + 1);
  // What is higher already grows all the same, and stays so.
  expect((await leadership.raise(1)).epoch).toBe(known + 2);
  clock.advance(3_000);
  await leadership.look();
  expect([leadership.leads, leadership.orders?.epoch]).toEqual([true, known + 2]);
});

test('only the one that leads may, and it is said which does', async () => {
  await using sqlite = new SqliteStore(':memory:');
  const store: FleetStore = Object.assign(Object.create(sqlite) as FleetStore, {
    isShared: true,
    read: (key: string) => sqlite.read(key),
    write: (...given: Parameters<FleetStore['write']>) => sqlite.write(...given),
  });
  await using first = open(store, 'first');
  await using second = open(store, 'second');
  await first.look();
  await second.look();
  await expect(second.raise(9)).rejects.toThrow(/second cannot do that now: first leads/);
  // One that was taken over from without knowing it.
  const found = (await store.read('lead.leader'))!;
  await store.write('lead.leader', { ...(found.value as object), id: 'another' }, found.revision);
  await expect(first.raise(9)).rejects.toThrow(
    /first cannot do that now: the record of who leads was written meanwhile/,
  );
  expect((await store.read('lead.leader'))?.value).toMatchObject({ id: 'another', epoch: 1 });
});
