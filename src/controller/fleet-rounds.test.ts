/** What a controller does by itself, with a fleet that only says what it is asked for. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { HostEvent } from '../api/event-schema.ts';
import type { OutlookView } from '../api/outlook-schema.ts';
import type { Fleet } from './fleet.ts';
import { parseFleet } from './fleet-file.ts';
import { picture } from './fleet-picture.ts';
import { FleetRounds } from './fleet-rounds.ts';

const FILE = parseFleet({ hosts: { a: { api: 'unix:/a' } } }, '/');
const OUTLOOK = {
  ...{ host: 'a', migration: 'a:7710', memoryBytes: 1, bandwidthBytesPerSecond: 0, ways: {}, outgoing: [], vms: [] },
} satisfies OutlookView;

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] }));
afterEach(() => void vi.useRealTimers());

/** @param looked - until then a look takes */
function begin(looked: () => Promise<void>) {
  const state = { leads: true, looks: 0, askedForMigrations: 0 };
  let hear = (_event: HostEvent): void => undefined;
  const fleet = {
    file: FILE,
    onHostsChanged: () => undefined,
    hosts: {
      async *eventsOf(_host: string, _lastId: string | undefined, signal: AbortSignal) {
        while (!signal.aborted) {
          const heard = Promise.withResolvers<HostEvent | null>();
          hear = heard.resolve;
          signal.addEventListener('abort', () => heard.resolve(null), { once: true });
          const event = await heard.promise;
          if (event) yield event;
        }
      },
      migrationsOf: async () => {
        state.askedForMigrations++;
        return [];
      },
    },
    look: async () => {
      state.looks++;
      await looked();
      const answers = [{ name: 'a', outlook: OUTLOOK, askedAtMs: Date.now() }];
      const seen = { atMs: Date.now(), file: FILE, marks: new Map(), answers, heardAtMs: new Map() };
      return { ...seen, picture: picture(FILE, answers, Date.now()) };
    },
    evacuations: { waiting: async () => new Map(), take: async () => undefined },
    balancing: { fillNewHosts: async () => [] },
    finished: { add: async () => undefined },
    events: { emit: () => undefined },
  } as unknown as Fleet;
  const rounds = new FleetRounds({ fleet, leads: () => state.leads, told: () => undefined });
  /** And so long later, but for what takes no time. */
  const tell = async (kind: 'vmRemoved' | 'migrationEnded', thenMs: number): Promise<void> => {
    hear({ kind, id: '1', atMs: 1 } as unknown as HostEvent);
    await vi.advanceTimersByTimeAsync(thenMs);
  };
  return { rounds, state, tell };
}

test('however much hosts tell while a round takes long, one more waits, and none once it is over', async () => {
  let look = Promise.withResolvers<void>();
  const { rounds, state, tell } = begin(() => look.promise);
  await vi.advanceTimersByTimeAsync(0);
  for (let i = 0; i < 4; i++) await tell('vmRemoved', 1000);
  const first = look;
  look = Promise.withResolvers();
  first.resolve();
  await vi.advanceTimersByTimeAsync(0);
  look.resolve();
  await vi.advanceTimersByTimeAsync(0);
  expect(state.looks).toBe(2);
  look = Promise.withResolvers();
  for (let i = 0; i < 2; i++) await tell('vmRemoved', 1000);
  const over = rounds[Symbol.asyncDispose]();
  look.resolve();
  await over;
  expect(state.looks).toBe(3);
});

test('the end of a migration that was told while this one did not lead is asked for once it leads again', async () => {
  const { rounds, state, tell } = begin(async () => undefined);
  await vi.advanceTimersByTimeAsync(0);
  expect(state.askedForMigrations).toBe(1);
  state.leads = false;
  await tell('migrationEnded', 0);
  state.leads = true;
  await vi.advanceTimersByTimeAsync(1000);
  expect(state.askedForMigrations).toBe(2);
  await rounds[Symbol.asyncDispose]();
});
