/** What every store must do, on the real ones; NATS is also restarted meanwhile. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { NatsServer } from '../../test/support/nats-server.ts';
import { openStore, unlessSilent } from '../../test/support/nats-store.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { FakeClock } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import { EvacuationClaims } from './evacuation-claims.ts';
import type { EvacuationHosts } from './evacuation-port.ts';
import { Evacuations } from './evacuations.ts';
import { OwnedRecord, recordedValue } from './owned-record.ts';
import { SqliteStore } from './sqlite-store.ts';
import type { FleetStore } from './store.ts';

checkLeaks();

const NEVER = new AbortController().signal;

interface Place extends AsyncDisposable {
  open(): Promise<FleetStore>;
  /** It ends as by a crash and is there again; what was open stays in use. */
  restart(): Promise<void>;
}

async function sqlitePlace(): Promise<Place> {
  const directory = new TempDirectory();
  return {
    open: async () => new SqliteStore(directory.join('fleet.sqlite')),
    restart: async () => undefined,
    [Symbol.asyncDispose]: async () => directory[Symbol.dispose](),
  };
}

async function natsPlace(): Promise<Place> {
  const server = await NatsServer.open();
  return {
    open: () => openStore(server),
    restart: async () => {
      await server.kill();
      await server.start();
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const suites = { sqlite: [requireCapability(), sqlitePlace], nats: [requireCapability('nats'), natsPlace] } as const;

for (const [kind, [describe, openPlace]] of Object.entries(suites)) {
  describe(`the store ${kind}`, () => {
    let place: Place;
    let store: FleetStore;
    let names = 0;
    let name: string;

    beforeAll(async () => {
      place = await openPlace();
      store = await place.open();
    });
    beforeEach(() => {
      name = `trial${++names}`;
    });
    afterAll(async () => {
      await store?.[Symbol.asyncDispose]();
      await place?.[Symbol.asyncDispose]();
    });

    test('has what was written last, and nothing before', async () => {
      expect(await store.read(`${name}.a`)).toBeNull();
      const first = await store.write(`${name}.a`, { x: 1 }, null);
      const second = await store.write(`${name}.a`, { x: 2 }, first);
      expect(await store.read(`${name}.a`)).toEqual({ key: `${name}.a`, value: { x: 2 }, revision: second });
    });

    test('is written only at the revision that was seen, and made only once', async () => {
      const first = await store.write(`${name}.a`, 1, null);
      expect(await store.write(`${name}.a`, 2, null)).toBeNull();
      expect(await store.write(`${name}.a`, 3, first)).not.toBeNull();
      expect(await store.write(`${name}.a`, 4, first)).toBeNull();
      expect((await store.read(`${name}.a`))?.value).toBe(3);
    });

    test('one of many writers at once is first', async () => {
      const revision = await store.write(`${name}.a`, 'none', null);
      const tries = Array.from({ length: 20 }, (_, writer) => store.write(`${name}.a`, writer, revision));
      const won = (await Promise.all(tries)).flatMap((result, writer) => (result === null ? [] : [writer]));
      expect(won).toHaveLength(1);
      expect((await store.read(`${name}.a`))?.value).toBe(won[0]);
    });

    test('lists what is below a prefix, and not what was removed, which can be made again', async () => {
      for (const key of ['b', 'a', 'c.d']) await store.write(`${name}.${key}`, key, null);
      await store.write(`${name}x.e`, 'other', null);
      await store.remove(`${name}.a`);
      expect((await store.list(name)).map(({ value }) => value)).toEqual(['b', 'c.d']);
      expect(await store.read(`${name}.a`)).toBeNull();
      expect(await store.write(`${name}.a`, 'again', null)).not.toBeNull();
    });

    test('tells of writes and removals below a prefix', async () => {
      const heard: string[] = [];
      using _watch = store.watch(name, (key) => heard.push(key));
      await waitUntil(
        'the watch is there',
        async () => {
          await store.write(
            `${name}.first${heard.length}`,
            Date.now(),
            (await store.read(`${name}.first0`))?.revision ?? null,
          );
          return heard.length > 0;
        },
        { intervalMs: 50 },
      );
      await store.write(`${name}.a`, 1, null);
      await store.remove(`${name}.a`);
      await waitUntil('both were heard of', () => heard.filter((key) => key === `${name}.a`).length === 2);
    });

    test('a log has each id once, and its newest first', async () => {
      for (const id of ['a', 'b', 'a', 'c']) await store.append('migrations', `${name}-${id}`, `${name}-${id}`);
      expect(await store.newest('migrations', 2)).toEqual([`${name}-c`, `${name}-b`]);
      expect(await store.newest('migrations', 2, 1)).toEqual([`${name}-b`, `${name}-a`]);
      expect(await store.newest('migrations', 2, 1000)).toEqual([]);
      expect((await store.newest('migrations', 1000)).filter((item) => item === `${name}-a`)).toHaveLength(1);
    });

    test('an evacuation of thousands of VMs has its place', async () => {
      const quantiles = (vm: number) => ({ p10: vm * 1234.56789, p50: vm * 2345.6789012, p90: vm * 3456.789012345 });
      const predicted = (vm: number) => ({
        bytes: quantiles(vm),
        totalMs: quantiles(vm + 1),
        downtimeMs: quantiles(vm + 2),
      });
      const reason = 'it waits for the network of a, behind web1 and 12 more';
      const value = Array.from({ length: 4000 }, (_, vm) => ({ vm: `web${vm}`, predicted: predicted(vm), reason }));
      expect(JSON.stringify(value).length).toBeGreaterThan(1.2e6);
      expect(await store.write(`${name}.large`, value, null)).not.toBeNull();
      expect((await store.read(`${name}.large`))?.value).toEqual(value);
      await store.append('evacuations', `${name}-large`, value);
      expect(await store.newest('evacuations', 1)).toEqual([value]);
    });

    test('an owner learns that somebody else has its record', async () => {
      const mine = new OwnedRecord(store, `${name}.a`, null);
      expect(await mine.save('mine', NEVER)).toBe(true);
      const { revision } = (await store.read(`${name}.a`))!;
      const theirs = new OwnedRecord(store, `${name}.a`, revision);
      expect(await theirs.save('theirs', NEVER)).toBe(true);
      expect(await mine.save('mine again', NEVER)).toBe(false);
      expect(recordedValue((await store.read(`${name}.a`))!.value)).toBe('theirs');
    });

    test('of many who claim a host in the same moment one is first, and the others learn of it', async () => {
      const claimsOf = () => new EvacuationClaims(store, new FakeClock(0));
      const claimants = ['e1', 'e2', 'e3', 'e4'].map((id) => ({ id, from: name, onlyVms: null }));
      const firsts = await Promise.all(claimants.map((claimant) => claimsOf().claim(claimant)));
      const won = claimants.filter((_, index) => firsts[index] === null);
      expect(won).toHaveLength(1);
      expect(firsts.filter((first) => first !== null)).toEqual(Array(3).fill(won[0]!.id));
      await claimsOf().free(won[0]!);
      expect(await claimsOf().claim({ id: 'e5', from: name, onlyVms: null })).toBeNull();
    });

    test('of two evacuations of a host that are asked for at two controllers in the same moment the second is refused', async () => {
      const port = { hosts: {} as EvacuationHosts, look: () => Promise.reject(new Error('none')), failed: raise };
      const open = (controller: string) =>
        new Evacuations({
          ...port,
          store,
          name: controller,
          leads: () => false,
          orders: () => null,
          changed: () => undefined,
        });
      await using one = open('one');
      await using other = open('other');
      const asked = await Promise.allSettled([one, other].map((each) => each.request({ from: name }, 'person')));
      const begun = asked.flatMap((each) => (each.status === 'fulfilled' ? [each.value.id] : []));
      expect(begun).toHaveLength(1);
      const [refused] = asked.flatMap((each) => (each.status === 'rejected' ? [each.reason as GodwitError] : []));
      expect(refused).toMatchObject({ code: 'GW_CONFLICT', message: expect.stringContaining(`already (${begun[0]})`) });
    });

    test('a write that was made although its answer was lost is known again', async () => {
      let isDeaf = true;
      const deaf: FleetStore = Object.assign(Object.create(store) as FleetStore, {
        write: async (...args: Parameters<FleetStore['write']>) => {
          const revision = await store.write(...args);
          if (!isDeaf) return revision;
          isDeaf = false;
          throw new GodwitError('GW_STORE_UNAVAILABLE', { store: 'a deaf one', reason: 'no answer' });
        },
      });
      const record = new OwnedRecord(deaf, `${name}.a`, null);
      Object.defineProperty(deaf, 'read', { value: (key: string) => store.read(key) });
      expect(await record.save('once', NEVER)).toBe(true);
      expect(await record.save('twice', NEVER)).toBe(true);
      expect(recordedValue((await store.read(`${name}.a`))!.value)).toBe('twice');
    });

    test('outlives its restart: all is there, and what is open goes on', async () => {
      const revision = await store.write(`${name}.a`, 'kept', null);
      await store.append('evacuations', name, name);
      const record = new OwnedRecord(store, `${name}.b`, null);
      expect(await record.save(1, NEVER)).toBe(true);
      const restarted = place.restart();
      const saved = record.save(2, NEVER);
      // Whatever is asked meanwhile is answered, or fails, and does not hang.
      const asked = Array.from({ length: 40 }, async (_, turn) => {
        await delay(turn * 20);
        await Promise.all([store.list(name), store.newest('evacuations', 5)].map((each) => each.catch(unlessSilent)));
      });
      await restarted;
      await Promise.all(asked);
      expect(await saved).toBe(true);
      const found = await waitUntil('it answers', () => store.read(`${name}.a`).catch(unlessSilent), {
        intervalMs: 50,
      });
      expect(found).toMatchObject({ value: 'kept', revision });
      expect(await store.newest('evacuations', 1)).toEqual([name]);
      const heard: string[] = [];
      using _watch = store.watch(name, (key) => heard.push(key));
      await waitUntil('it is watched', async () => (await record.save(heard.length, NEVER)) && heard.length > 0);
    });

    test('who opens it again finds it as it was', async () => {
      await store.write(`${name}.a`, 'kept', null);
      await store[Symbol.asyncDispose]();
      store = await place.open();
      expect((await store.read(`${name}.a`))?.value).toBe('kept');
    });
  });
}

function raise(_what: string, reason: string): never {
  throw new Error(reason);
}
