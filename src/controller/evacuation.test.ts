import { expect, test } from 'vitest';
import type { MigrateBody, MigrationView } from '../api/migration-schema.ts';
import type { OutlookView, OutlookVm } from '../api/outlook-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { Evacuation, type EvacuationEvent } from './evacuation.ts';
import { parseFleet } from './fleet-file.ts';
import { picture } from './fleet-picture.ts';

const FILE = parseFleet({ hosts: { a: { api: 'unix:/a' }, b: { api: 'unix:/b' } } }, '/');
const GIB = 2 ** 30;

const vmOf = (name: string, more: Partial<OutlookVm> = {}): OutlookVm => ({
  name,
  uuid: `uuid of ${name}`,
  state: 'running',
  migration: null,
  ramBytes: GIB,
  dataPages: 10_000,
  samples: [],
  contents: null,
  sharedMemory: [],
  ...more,
});

/** Two hosts that do as they are told, unless `fails` says how a migration ends; the test ends the others. */
function trial(
  vms: readonly OutlookVm[],
  options: { fails?: (vm: string, attempt: number) => string | null; silent?: number } = {},
) {
  const at = new Map(vms.map((vm) => [vm.name, 'a']));
  const attempts = new Map<string, number>();
  const log: string[] = [];
  const open = new Map<string, (view: MigrationView) => void>();
  let silent = options.silent ?? 0;
  const events: EvacuationEvent[] = [];
  const outlookOf = (host: string): OutlookView => ({
    host,
    migration: `${host}:7710`,
    memoryBytes: 64 * GIB,
    bandwidthBytesPerSecond: 0,
    ways: {},
    vms: vms.filter(({ name }) => at.get(name) === host),
  });
  const ended = (vm: string, outcome: string): MigrationView =>
    ({
      id: `m-${vm}`,
      state: outcome,
      report: { outcome, totalMs: 1000, wireBytes: 5, downtimeMs: 10, error: { message: 'it was refused' } },
    }) as unknown as MigrationView;
  const evacuation = new Evacuation(
    {
      picture: async () => {
        const heard = ['a', 'b'].map((name) => ({ name, outlook: outlookOf(name) }));
        const [, b] = heard;
        return picture(FILE, silent-- > 0 ? [{ name: 'a', failure: 'no answer' }, b!] : heard, Date.now());
      },
      begin: async (host: string, vm: string, { to }: MigrateBody) => {
        log.push(`${vm} ${host} ${to}`);
        const attempt = (attempts.get(vm) ?? 0) + 1;
        attempts.set(vm, attempt);
        const reason = options.fails?.(vm, attempt) ?? null;
        if (reason !== null) throw new GodwitError('GW_MIGRATION_REFUSED', { host: to, vm, reason });
        return { id: `m-${vm}` } as MigrationView;
      },
      endOf: (_host, id) => {
        const vm = id.slice(2);
        const { promise, resolve } = Promise.withResolvers<MigrationView>();
        open.set(vm, resolve);
        return promise;
      },
      cancel: async (_host, id) => {
        log.push(`cancel ${id}`);
        open.get(id.slice(2))?.(ended(id.slice(2), 'cancelled'));
      },
      nowMs: () => Date.now(),
      onEvent: (event) => {
        events.push(event);
        if (event.kind === 'started' && !log.includes('hold')) {
          queueMicrotask(() => {
            at.set(event.move.vm, 'b');
            open.get(event.move.vm)?.(ended(event.move.vm, 'completed'));
          });
        }
      },
    },
    { from: 'a', to: null, deadlineAtMs: null },
  );
  return { evacuation, log, events, at };
}

test('all go to where there is room, and there is an account of each', async () => {
  const { evacuation, log } = trial([vmOf('x'), vmOf('y')]);
  const outcome = await evacuation.run(new AbortController().signal);
  expect(outcome).toMatchObject({ state: 'completed', stayed: [] });
  expect(outcome.arrived.map(({ vm, to, totalMs, bytes }) => [vm, to, totalMs, bytes]).sort()).toEqual([
    ['x', 'b', 1000, 5],
    ['y', 'b', 1000, 5],
  ]);
  expect(outcome.predictedMs).toBeGreaterThan(0);
  expect(log.toSorted()).toEqual(['x a b:7710', 'y a b:7710']);
});

test("a VM that shares memory, or has another one's name, stays with the reason; the others go", async () => {
  const shared = vmOf('s', { sharedMemory: [{ name: 'bus', bytes: 4096 }] });
  const { evacuation } = trial([shared, vmOf('x')]);
  const outcome = await evacuation.run(new AbortController().signal);
  expect(outcome.state).toBe('incomplete');
  expect(outcome.arrived.map(({ vm }) => vm)).toEqual(['x']);
  expect(outcome.stayed).toEqual([{ vm: 's', reason: expect.stringContaining('godwit group migrate bus') }]);
});

test('a host that does not answer is waited for: its VMs are not taken for gone', async () => {
  const { evacuation, events } = trial([vmOf('x')], { silent: 1 });
  const outcome = await evacuation.run(new AbortController().signal);
  expect(events[0]).toMatchObject({ kind: 'waits', reason: expect.stringContaining('no answer') });
  expect(outcome).toMatchObject({ state: 'completed', arrived: [{ vm: 'x' }] });
});

test('who cancels has what runs cancelled, and nothing else begun', async () => {
  const { evacuation, log, events } = trial([vmOf('x')]);
  log.push('hold');
  const stop = new AbortController();
  const running = evacuation.run(stop.signal);
  while (!events.some(({ kind }) => kind === 'started')) await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  expect(await running).toMatchObject({ state: 'cancelled', arrived: [] });
  expect(log).toContain('cancel m-x');
});
