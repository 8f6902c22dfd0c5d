/** Evacuations of two hosts, a and b, to a third, c, by one controller. Hosts are made up, and never tell what is on its way. */
import { expect, test } from 'vitest';
import { NEVER, vmOf } from '../../test/support/evacuation-trial.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { MigrationView } from '../api/migration-schema.ts';
import { Evacuation } from './evacuation.ts';
import type { Arrival, EvacuationHosts } from './evacuation-port.ts';
import { parseFleet } from './fleet-file.ts';
import { picture } from './fleet-picture.ts';
import { JointPlanning } from './joint-planning.ts';
import type { RunningMove } from './settled-picture.ts';

const GIB = 2 ** 30;
const place = (name: string, takesVms: boolean) => ({ api: `unix:/${name}`, rate: '1Gbit/s', takesVms });
const FILE = parseFleet({ hosts: { a: place('a', false), b: place('b', false), c: place('c', true) } }, '/');

/** @param vms - with 1 GiB each, named after the host that they are at @param roomBytes - of c */
function begin(vms: readonly string[], roomBytes: number) {
  const at = new Map(vms.map((vm) => [vm, vm.slice(0, 1)]));
  const ends = new Map<string, (view: MigrationView) => void>();
  const ordered: string[] = [];
  const plans = { a: 0, b: 0 };
  const over = new Set<string>();
  const planning = new JointPlanning();
  const answer = (name: string) => {
    const memoryBytes = name === 'c' ? roomBytes : 64 * GIB;
    const told = { host: name, migration: `${name}:7710`, memoryBytes, bandwidthBytesPerSecond: 0, ways: {} };
    const here = vms.filter((vm) => at.get(vm) === name).map((vm) => vmOf(vm));
    return { name, askedAtMs: Date.now(), outlook: { ...told, outgoing: [], vms: here } };
  };
  const hosts = {
    begin: async (_host: string, vm: string) => {
      ordered.push(vm);
      return { id: vm } as MigrationView;
    },
    endOf: (_host: string, id: string) => new Promise<MigrationView>((resolve) => ends.set(id, resolve)),
  } as unknown as EvacuationHosts;
  const evacuate = (from: 'a' | 'b', cancel = NEVER) =>
    new Evacuation(
      {
        ...{ planning, hosts, record: async () => undefined, nowMs: () => Date.now(), lookAgainMs: 20 },
        picture: async () => picture(FILE, ['a', 'b', 'c'].map(answer), Date.now()),
        onEvent: ({ kind }) => {
          if (kind === 'planned') plans[from]++;
        },
      },
      { from, to: null, deadlineAtMs: null, startedAtMs: Date.now(), vms: null },
    )
      .run(cancel, NEVER)
      .finally(() => over.add(from));
  /** Once this one, and nothing else, was begun, and the one that has to wait has thought again. */
  const endNext = async (outcome: 'completed' | 'failed'): Promise<void> => {
    const vm = await waitUntil('the next one is followed', () => [...ends.keys()][0]);
    const waits = vm.startsWith('a') ? 'b' : 'a';
    const before = plans[waits];
    await waitUntil('the other one plans', () => over.has(waits) || plans[waits] > before + 1);
    expect([...ends.keys()]).toEqual([vm]);
    const resolve = ends.get(vm)!;
    ends.delete(vm);
    if (outcome === 'completed') at.set(vm, 'c');
    const error = { code: 'GW_MIGRATION_BLOCKED', message: 'its disk is not there' };
    const report = { outcome, totalMs: 1, wireBytes: 1, downtimeMs: 1, error };
    resolve({ id: vm, state: outcome, report } as unknown as MigrationView);
  };
  return { planning, evacuate, endNext, ordered };
}

test('two evacuations never have the same way at once, and take turns', async () => {
  const { evacuate, endNext, ordered } = begin(['a1', 'a2', 'a3', 'b1', 'b2', 'b3'], 64 * GIB);
  const both = Promise.all([evacuate('a'), evacuate('b')]);
  for (let ended = 0; ended < 6; ended++) await endNext('completed');
  expect(await both).toMatchObject([{ state: 'completed' }, { state: 'completed' }]);
  expect(ordered.map((vm) => vm.slice(0, 1)).join('')).toBe('ababab');
});

test.each([
  ['completed', ['completed', 'incomplete'], ['a1']],
  ['failed', ['incomplete', 'completed'], ['a1', 'b1']],
] as const)('memory for one VM is given to one, and to the other only if that has %s', async (outcome, states, all) => {
  const { evacuate, endNext, ordered } = begin(['a1', 'b1'], 1.5 * GIB);
  const both = Promise.all([evacuate('a'), evacuate('b')]);
  await endNext(outcome);
  if (all.length > 1) await endNext('completed');
  expect((await both).map(({ state }) => state)).toEqual(states);
  expect(ordered).toEqual(all);
});

test('who is cancelled while another one plans does not wait for its turn', async () => {
  const { planning, evacuate } = begin(['b1'], 64 * GIB);
  const planner = { from: 'a', running: () => [], arrived: () => [], wake: () => undefined };
  using _joined = planning.join(planner);
  const asked = Promise.withResolvers<{ hasBegun: false }>();
  const turn = planning.take(planner, () => asked.promise);
  expect(await evacuate('b', AbortSignal.abort())).toMatchObject({ state: 'cancelled' });
  asked.resolve({ hasBegun: false });
  await turn;
});

test('a migration of another one that is long overdue is not waited for', () => {
  const { planning } = begin([], 0);
  const running = [{ endsAtMs: 1000 } as RunningMove];
  const own = { from: 'b', running: () => running, arrived: () => [], wake: () => undefined };
  using _own = planning.join(own);
  expect(planning.doOthersMove(own, 0)).toBe(false);
  using _other = planning.join({ ...own, from: 'a' });
  expect([planning.doOthersMove(own, 300_999), planning.doOthersMove(own, 301_000)]).toEqual([true, false]);
});

test('what has arrived in another evacuation is where it went, whatever its source had said before', () => {
  const { planning } = begin([], 0);
  const vms = [vmOf('a1')];
  const told = { migration: 'a:7710', memoryBytes: GIB, bandwidthBytesPerSecond: 0, ways: {}, outgoing: [], vms };
  const seen = picture(FILE, [{ name: 'a', askedAtMs: 5, outlook: { ...told, host: 'a' } }], 9);
  const arrivedAt = (endKnownAtMs: number) => {
    const arrived = [{ vm: 'a1', to: 'c', endKnownAtMs } as Arrival];
    using _other = planning.join({ from: 'a', running: () => [], arrived: () => arrived, wake: () => undefined });
    const own = { from: 'b', running: () => [], arrived: () => [], wake: () => undefined };
    return planning.complete(seen, own).base.vms.map(({ host }) => host);
  };
  expect([arrivedAt(4), arrivedAt(6)]).toEqual([['a'], ['c']]);
});
