/** An order that a controller wrote down, and that reaches its host after another one has taken over; on both stores, hosts are made up. */
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { vmOf } from '../../test/support/evacuation-trial.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { NatsServer } from '../../test/support/nats-server.ts';
import { openStore } from '../../test/support/nats-store.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { MigrateBody, MigrationView } from '../api/migration-schema.ts';
import { FakeClock } from '../base/clock.ts';
import { KnownOrders } from '../host/known-orders.ts';
import type { Logger } from '../host/logger.ts';
import type { EvacuationHosts } from './evacuation-port.ts';
import { Evacuations } from './evacuations.ts';
import { parseFleet } from './fleet-file.ts';
import { picture } from './fleet-picture.ts';
import { Leadership } from './leadership.ts';
import { SqliteStore } from './sqlite-store.ts';
import type { FleetStore } from './store.ts';

checkLeaks();

const FILE = parseFleet({ hosts: { a: { api: 'unix:/a' }, b: { api: 'unix:/b' } } }, '/');

async function sqlite(): Promise<AsyncDisposable & { readonly store: FleetStore }> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(new TempDirectory());
  const store = stack.use(new SqliteStore(directory.join('fleet.sqlite')));
  const all = stack.move();
  return { store, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

async function nats(): Promise<AsyncDisposable & { readonly store: FleetStore }> {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openStore(stack.use(await NatsServer.open())));
  const all = stack.move();
  return { store, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Host a with a VM x, as its daemon would do: orders begin migrations, which end when the test says so. */
function hostOf(orders: KnownOrders) {
  const begun: string[] = [];
  const ends = Promise.withResolvers<MigrationView>();
  const arrive = (vm: string, request: MigrateBody): Promise<MigrationView> => {
    const begin = async (): Promise<MigrationView> => {
      const id = `m${begun.length + 1}`;
      orders.begun(vm, request, id);
      begun.push(id);
      return { id } as MigrationView;
    };
    return orders.once(vm, request, begin, (id) => ({ id }) as MigrationView);
  };
  const hosts = (deliver: typeof arrive) =>
    ({
      begin: (_host: string, vm: string, request: MigrateBody) => deliver(vm, request),
      find: async (_host, { leader, requestId }) => {
        if (leader) orders.acknowledge(leader);
        const id = await orders.migrationOf(requestId ?? '');
        return id === undefined ? null : ({ id } as MigrationView);
      },
      endOf: () => ends.promise,
    }) as Partial<EvacuationHosts> as EvacuationHosts;
  return { begun, arrive, hosts };
}

async function trial(store: FleetStore, wasHeard: boolean) {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(new TempDirectory());
  const host = hostOf(new KnownOrders(directory.path, {} as Logger));
  const clock = new FakeClock(1000);
  const leads = (name: string) => new Leadership({ store, name, clock, changed: () => undefined });
  const outlooks = ['a', 'b'].map((name) => ({
    ...{
      host: name,
      migration: `${name}:7710`,
      memoryBytes: 2 ** 36,
      bandwidthBytesPerSecond: 0,
      ways: {},
      outgoing: [],
    },
    vms: name === 'a' ? [vmOf('x')] : [],
  }));
  const look = async () =>
    picture(
      FILE,
      outlooks.map((outlook) => ({ name: outlook.host, outlook, askedAtMs: Date.now() })),
      Date.now(),
    );
  const evacuationsOf = (leadership: Leadership, hosts: EvacuationHosts) =>
    stack.use(
      new Evacuations({
        ...{ store, hosts, name: leadership.leader!, picture: look, changed: () => undefined },
        ...{ leads: () => leadership.leads, orders: () => leadership.orders },
        failed: (_id, reason) => expect.unreachable(reason),
      }),
    );

  // The first one writes down what it orders; the order, or the answer to it, is on its way for long.
  const first = leads('first');
  await first.look();
  const late: (() => Promise<MigrationView>)[] = [];
  const delayed = host.hosts((vm, request) => {
    late.push(() => host.arrive(vm, request));
    if (wasHeard) void late[0]!();
    return new Promise<MigrationView>(() => undefined);
  });
  await evacuationsOf(first, delayed).request({ from: 'a' }, 'person');
  await waitUntil('it is ordered', () => late.length > 0);

  // Another one takes over: where it may, at once.
  const second = leads('second');
  await second.look();
  clock.advance(15_000);
  await second.look();
  expect([second.leads, second.orders!.epoch]).toEqual([true, first.orders!.epoch + 1]);
  expect(second.orders!.fleet).toBe(first.orders!.fleet);
  const next = evacuationsOf(second, host.hosts(host.arrive));
  await next.take();
  const [id] = next.carriedOut().map((view) => view.id);
  await waitUntil('it is begun', async () => (await next.show(id!)).vms[0]?.state === 'running');
  const arrival = late[0]!();
  const answer = await arrival.then(
    ({ id: migration }) => migration,
    (error: unknown) => (error as { code: string }).code,
  );
  return { answer, begun: host.begun };
}

const suites = { sqlite: [requireCapability(), sqlite], nats: [requireCapability('nats'), nats] } as const;

for (const [kind, [describe, open]] of Object.entries(suites)) {
  describe(`an order that was written down in ${kind}`, () => {
    test('begins nothing when it comes after the next controller has ordered it anew', async () => {
      await using place = await open();
      expect(await trial(place.store, false)).toEqual({ answer: 'GW_ORDER_OUTDATED', begun: ['m1'] });
    });

    test('is found by the next controller where the host has had it, and begins nothing more when it is repeated', async () => {
      await using place = await open();
      expect(await trial(place.store, true)).toEqual({ answer: 'GW_ORDER_OUTDATED', begun: ['m1'] });
    });
  });
}
