/** What a controller knows of hosts that register, on a real nats-server; the hosts are made up, time is short. */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { NatsServer } from '../../test/support/nats-server.ts';
import { openStore } from '../../test/support/nats-store.ts';
import { RegisteringHost } from '../../test/support/registering-host.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { SigningKey } from '../nats/signed-words.ts';
import type { NatsStore } from './nats-store.ts';
import { RegisteredHosts } from './registered-hosts.ts';

checkLeaks();

const KEY = new SigningKey('a'.repeat(64));
const SILENT_MS = 600;
const LOOK_MS = 50;

requireCapability('nats')('hosts that have registered', () => {
  let open: AsyncDisposableStack;
  let server: NatsServer;
  let store: NatsStore;
  let told: string[];

  beforeEach(async () => {
    open = new AsyncDisposableStack();
    server = open.use(await NatsServer.open());
    store = open.use(await openStore(server));
    told = [];
  });
  afterEach(() => open.disposeAsync());

  async function controller(...named: string[]): Promise<RegisteredHosts> {
    const register = { fleetKey: '', token: 'secret', bytesPerSecond: 7, labels: { rack: '1' } };
    const rest = { beats: store.heartbeats(KEY), key: KEY, register, named: new Set(named), silentMs: SILENT_MS };
    const hosts = await RegisteredHosts.open({
      store,
      ...rest,
      told: (reason) => void told.push(reason),
      lookMs: LOOK_MS,
    });
    return open.use(hosts);
  }

  function host(name: string, port = 1, key = KEY): RegisteringHost {
    const addresses = { api: `http://${name}:${port}`, migration: `${name}:${port + 1}` };
    return open.use(new RegisteringHost(store, key, { name, ...addresses, daemonId: randomUUID(), sinceMs: port }));
  }

  /** Registered, and answering. */
  async function living(name: string): Promise<RegisteringHost> {
    const registering = host(name);
    registering.answer();
    await registering.register();
    return registering;
  }

  /** @param expected - by name; null: it is not known */
  const is = (hosts: RegisteredHosts, expected: Readonly<Record<string, object | null>>): Promise<true> =>
    waitUntil(`they are ${JSON.stringify(expected)}`, () => {
      const now = hosts.hosts.map(({ name, api, takesVms: takes, registration }) => {
        return [name, { api, takes, beats: registration?.beats, proven: registration?.unproven === null }] as const;
      });
      const shown: Readonly<Record<string, object>> = Object.fromEntries(now);
      return Object.entries(expected).every(([name, want]) =>
        isDeepStrictEqual(shown[name] ?? null, want && { ...shown[name], ...want }),
      );
    });

  test('are known by their records, and asked when their daemon has answered', async () => {
    const a = host('a');
    await a.register();
    const hosts = await controller();
    expect(hosts.hosts).toMatchObject([
      { name: 'a', token: 'secret', bytesPerSecond: 7, labels: { rack: '1' }, takesVms: false },
    ]);
    expect(hosts.hosts[0]?.registration?.unproven).toMatch(/has not answered/);
    // A beat that answers nobody may be one that somebody kept.
    a.beat();
    a.beat('0'.repeat(64));
    await is(hosts, { a: { beats: false, proven: false } });
    a.answer();
    await is(hosts, { a: { beats: true, proven: true, takes: true } });
  });

  test('are silent without beats, and back with them; both are told', async () => {
    const hosts = await controller();
    const a = await living('a');
    await is(hosts, { a: { beats: true } });
    let changes = 0;
    hosts.onChanged(() => changes++);
    await is(hosts, { a: { beats: false, proven: true, takes: true } });
    await waitUntil('it is told', () => changes === 1);
    a.beat();
    await is(hosts, { a: { beats: true } });
    expect(changes).toBe(2);
  });

  test('have the address of the daemon that was proven last, until another one is', async () => {
    const hosts = await controller();
    const before = host('a', 1);
    before.answer();
    await before.register();
    await is(hosts, { a: { api: 'http://a:1', proven: true } });
    const after = host('a', 3);
    await after.register();
    const seen = host('b');
    seen.answer();
    await seen.register();
    await is(hosts, { b: { proven: true } });
    // Nobody answers for the newer record.
    await is(hosts, { a: { api: 'http://a:1' } });
    after.answer();
    await is(hosts, { a: { api: 'http://a:3', beats: true, proven: true } });
    // An old record, for which nobody answers, moves it nowhere.
    before[Symbol.dispose]();
    await before.register();
    const later = host('c');
    later.answer();
    await later.register();
    await is(hosts, { a: { api: 'http://a:3' }, c: { proven: true } });
  });

  test('that are not of this fleet are refused, told once, and shown', async () => {
    const hosts = await controller();
    const stranger = host('x', 1, new SigningKey('b'.repeat(64)));
    stranger.answer();
    await stranger.register();
    await waitUntil('it is refused', () => hosts.refused.length > 0);
    expect(hosts.refused).toEqual([
      { name: 'x', reason: expect.stringMatching(/not signed with the key of this fleet/) },
    ]);
    expect(hosts.hosts).toEqual([]);
    await stranger.register({ sinceMs: 99 });
    const other = host('y');
    await other.register();
    await is(hosts, { y: {} });
    expect(told).toHaveLength(1);
    await hosts.forget('x');
    expect([hosts.refused, await store.read('host.x')]).toEqual([[], null]);
  });

  test('of the fleet file are as that says', async () => {
    await living('a');
    await living('b');
    const hosts = await controller('a');
    await is(hosts, { a: null, b: { proven: true } });
    await expect(hosts.forget('c')).rejects.toThrow(/fleet status/);
  });

  test('stay known when their daemon has ended, and can be forgotten then', async () => {
    const hosts = await controller();
    const a = await living('a');
    await is(hosts, { a: { beats: true } });
    await expect(hosts.forget('a')).rejects.toThrow(/its daemon lives/);
    await a.register({ endedAtMs: 5 });
    await is(hosts, { a: { beats: false, takes: false, proven: true } });
    await hosts.forget('a');
    expect([hosts.hosts, await store.read('host.a')]).toEqual([[], null]);
    // It is as new when it comes back.
    await a.register();
    await is(hosts, { a: { beats: true, takes: true } });
  });

  test('stay known while NATS is away, and are known at once by the next controller', async () => {
    const hosts = await controller();
    const a = await living('a');
    await is(hosts, { a: { beats: true } });
    await server.kill();
    // Nobody can say that it is silent.
    await is(hosts, { a: { beats: null, proven: true, takes: true } });
    await expect(hosts.forget('a')).rejects.toThrow(/not known yet/);
    await server.start();
    const beating = setInterval(() => a.beat(), LOOK_MS);
    open.defer(() => clearInterval(beating));
    await is(hosts, { a: { beats: true } });
    const next = await controller();
    expect(next.hosts).toMatchObject([{ name: 'a' }]);
    await is(next, { a: { beats: true, proven: true } });
  });

  test('are kept by their beats when somebody removes their record, and found missing otherwise', async () => {
    const hosts = await controller();
    const a = await living('a');
    await living('b');
    await is(hosts, { a: { beats: true }, b: { beats: true } });
    const beating = setInterval(() => a.beat(), LOOK_MS);
    open.defer(() => clearInterval(beating));
    await store.remove('host.a');
    await store.remove('host.b');
    await is(hosts, { a: { beats: true }, b: null });
  });
});
