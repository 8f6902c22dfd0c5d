/** A host's record and its beats on a real nats-server; addresses are made up, time is short. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { NatsServer } from '../../test/support/nats-server.ts';
import { openStore } from '../../test/support/nats-store.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { RegistrationView } from '../api/host-schema.ts';
import type { NatsStore } from '../controller/nats-store.ts';
import { type Registration, SigningKey } from '../nats/signed-words.ts';
import { FleetBeacon } from './fleet-beacon.ts';

checkLeaks();

const FLEET_KEY = 'a'.repeat(64);
const KEY = new SigningKey(FLEET_KEY);
const BEAT_MS = 20;
/** Of a machine whose CPUs others have: several beats. */
const SILENT_MS = 1000;

interface Trial {
  readonly beacon: FleetBeacon;
  /** How it was, one after the other. */
  readonly told: RegistrationView[];
}

requireCapability('nats')('a host that registers', () => {
  let open: AsyncDisposableStack;
  let server: NatsServer;
  let store: NatsStore;

  beforeEach(async () => {
    open = new AsyncDisposableStack();
    server = open.use(await NatsServer.open());
    store = open.use(await openStore(server));
  });
  afterEach(() => open.disposeAsync());

  function register(port: number, fleetKey = FLEET_KEY, prefix = 'godwit'): Trial {
    const told: RegistrationView[] = [];
    const beacon = open.use(
      new FleetBeacon({
        nats: { servers: [server.url], credentials: null, token: null, prefix },
        fleetKey,
        host: { name: 'a', api: `http://h:${port}`, migration: `h:${port + 1}`, version: '1', sinceMs: port },
        changed: (view) => void told.push(view),
        silentMs: SILENT_MS,
        beatMs: BEAT_MS,
      }),
    );
    return { beacon, told };
  }

  const is = ({ beacon, told }: Trial, state: RegistrationView['state']): Promise<true> =>
    waitUntil(`it is ${state}, and not ${JSON.stringify(told)}`, () => beacon.view.state === state);
  const record = async (): Promise<Registration | undefined> =>
    KEY.readRegistration('a', (await store.read('host.a'))?.value);

  test('writes its record, signed, and says so when it ends', async () => {
    const a = register(1);
    await is(a, 'registered');
    expect(await record()).toMatchObject({ name: 'a', api: 'http://h:1', migration: 'h:2', endedAtMs: null });
    await a.beacon[Symbol.asyncDispose]();
    expect(await record()).toMatchObject({ api: 'http://h:1', endedAtMs: expect.any(Number) });
    // The next one need not wait for silence, and never did.
    const again = register(3);
    await is(again, 'registered');
    expect(again.told.map(({ state }) => state)).toEqual(['registered']);
    expect(await record()).toMatchObject({ api: 'http://h:3', endedAtMs: null });
  });

  test('is refused while another daemon of its name beats, and registers when that is silent', async () => {
    const first = register(1);
    await is(first, 'registered');
    const second = register(3);
    await is(second, 'refused');
    expect(second.beacon.view.reason).toMatch(/another daemon named a is registered with http:\/\/h:1, and lives/);
    expect(await record()).toMatchObject({ api: 'http://h:1' });
    expect(first.told.map(({ state }) => state)).toEqual(['registered']);
    await first.beacon[Symbol.asyncDispose]();
    await is(second, 'registered');
    expect(await record()).toMatchObject({ api: 'http://h:3' });
  });

  test('waits for the silence of a daemon that did not say that it ends', async () => {
    const lost = { name: 'a', api: 'http://h:9', migration: 'h:8', version: '1', sinceMs: 1, endedAtMs: null };
    const daemonId = '2a1a2f0e-6b7e-4d0c-9a53-0f6f9d9a7a11';
    await store.write('host.a', KEY.signRegistration({ ...lost, daemonId }), null);
    const startedMs = performance.now();
    const next = register(1);
    await is(next, 'registered');
    expect(next.told.map(({ state }) => state)).toEqual(['waiting', 'registered']);
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(SILENT_MS);
  });

  test('writes its record again that was removed, or replaced by one that nobody signed', async () => {
    const a = register(1);
    await is(a, 'registered');
    await store.remove('host.a');
    await waitUntil('it is there again', async () => (await record())?.api === 'http://h:1');
    const { revision } = (await store.read('host.a'))!;
    expect(await store.write('host.a', { name: 'a', api: 'http://evil' }, revision)).not.toBeNull();
    await waitUntil('it is its own again', async () => (await record())?.api === 'http://h:1');
  });

  test('is away while NATS is, and registered again as soon as it is back', async () => {
    const a = register(1);
    await is(a, 'registered');
    await server.kill();
    await is(a, 'away');
    expect(a.beacon.view.reason).toMatch(/the connection to NATS is lost/);
    await server.start();
    await is(a, 'registered');
    expect(await record()).toMatchObject({ api: 'http://h:1' });
  });

  test('begins without NATS, and without a bucket, and says what is missing', async () => {
    await server.kill();
    const early = register(1);
    await is(early, 'away');
    await server.start();
    await is(early, 'registered');
    const elsewhere = register(1, FLEET_KEY, 'nobody');
    await waitUntil('it says so', () => /the bucket nobody cannot be read/.test(elsewhere.beacon.view.reason ?? ''));
    expect(elsewhere.beacon.view.state).toBe('away');
  });
});
