import { expect, test } from 'vitest';
import type { GroupMigrationView } from '../api/group-migration-schema.ts';
import type { MigrateBody, MigrationView } from '../api/migration-schema.ts';
import type { OutlookView, OutlookVm } from '../api/outlook-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { Evacuation } from './evacuation.ts';
import type { EvacuationEvent, EvacuationMemory, GroupEnd } from './evacuation-port.ts';
import { parseFleet } from './fleet-file.ts';
import { picture } from './fleet-picture.ts';
import { LastOutlooks } from './last-outlooks.ts';

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

/** Moved by somebody else: while it is there it is looked for each second. */
const FOREIGN = vmOf('foreign', { migration: 'm-other' });
const NEVER = new AbortController().signal;

interface TrialOptions {
  readonly fails?: (vm: string, attempt: number) => string | null;
  /** Why a host does not answer at the nth look; null: it answers. */
  readonly silent?: (host: string, look: number) => string | null;
  /** The host answers with an error instead. */
  readonly refuses?: (host: string, look: number) => boolean;
  /** Which hosts list a VM, where that is not where it is. */
  readonly listed?: (vm: string, at: string) => readonly string[];
  readonly to?: string;
  /** The clock jumps so far at each look. */
  readonly lookMs?: number;
  readonly memoryBytes?: number;
  readonly together?: readonly (readonly string[])[];
  readonly skip?: readonly (readonly [string, string])[];
  /** Before the hosts' answers are there. */
  readonly beforePicture?: (look: number) => void;
  readonly only?: readonly string[];
  /** What another one has done so far. */
  readonly begun?: EvacuationMemory;
  /** Migrations end when the test says so. */
  readonly hold?: boolean;
}

/** Two hosts that do as they are told, unless `fails` says how a migration ends. */
function trial(vms: readonly OutlookVm[], options: TrialOptions = {}) {
  const at = new Map(vms.map((vm) => [vm.name, 'a']));
  const attempts = new Map<string, number>();
  const log: string[] = [];
  const open = new Map<string, (view: MigrationView) => void>();
  const events: EvacuationEvent[] = [];
  /** When a migration had just ended. */
  const memories: EvacuationMemory[] = [];
  const last = new LastOutlooks();
  let looks = 0;
  let aheadMs = 0;
  const outlookOf = (host: string): OutlookView => ({
    host,
    migration: `${host}:7710`,
    memoryBytes: options.memoryBytes ?? 64 * GIB,
    bandwidthBytesPerSecond: 0,
    ways: {},
    outgoing: [],
    vms: vms.filter(({ name }) => {
      const where = at.get(name)!;
      return (options.listed?.(name, where) ?? [where]).includes(host);
    }),
  });
  const ended = (vm: string, outcome: string, code = 'GW_MIGRATION_REFUSED'): MigrationView =>
    ({
      id: `m-${vm}`,
      state: outcome,
      report: { outcome, totalMs: 1000, wireBytes: 5, downtimeMs: 10, error: { code, message: 'it was refused' } },
    }) as unknown as MigrationView;
  const end = (vm: string, outcome: string, code?: string): void => {
    if (outcome === 'completed') at.set(vm, 'b');
    open.get(vm)?.(ended(vm, outcome, code));
  };
  const openGroups = new Map<string, (end: GroupEnd) => void>();
  const endGroup = (id: string, state: GroupMigrationView['state']): void => {
    const members = vms.filter(({ sharedMemory }) => sharedMemory.length > 0);
    const group = { state, group: 'bus', error: null, notes: ['a VM did not stop'], regions: [{ wireBytes: 100 }] };
    if (state === 'completed') for (const { name } of members) at.set(name, 'b');
    const migrations = members.map(({ name }) => ({ ...ended(name, 'completed'), vm: name }));
    openGroups.get(id)?.({ group: group as unknown as GroupMigrationView, migrations });
  };
  const evacuation = new Evacuation(
    {
      picture: async () => {
        const look = looks++;
        aheadMs += options.lookMs ?? 0;
        options.beforePicture?.(look);
        const answers = ['a', 'b'].map((name) => {
          const failure = options.silent?.(name, look) ?? null;
          if (options.refuses?.(name, look))
            return { name, failure: 'a wrong token', refusal: new GodwitError('GW_API_UNAUTHORIZED', {}) };
          return failure === null ? { name, outlook: outlookOf(name) } : { name, failure };
        });
        return picture({ ...FILE, together: options.together ?? [] }, last.complete(answers), Date.now() + aheadMs);
      },
      begin: async (host: string, vm: string, { to }: MigrateBody) => {
        log.push(`${vm} ${host} ${to}`);
        const attempt = (attempts.get(vm) ?? 0) + 1;
        attempts.set(vm, attempt);
        const reason = options.fails?.(vm, attempt) ?? null;
        if (reason !== null) throw new GodwitError('GW_MIGRATION_REFUSED', { host: to, vm, reason });
        return { id: `m-${vm}` } as MigrationView;
      },
      find: async (_host, vm) => (open.has(vm) ? ({ id: `m-${vm}` } as MigrationView) : null),
      endOf: (_host, id) => {
        const vm = id.slice(2);
        const { promise, resolve } = Promise.withResolvers<MigrationView>();
        open.set(vm, resolve);
        return promise;
      },
      cancel: async (_host, id) => {
        log.push(`cancel ${id}`);
        if (options.hold !== true || !id.endsWith('stubborn')) end(id.slice(2), 'cancelled');
      },
      beginGroup: async (host, name, { to }) => {
        log.push(`group ${name} ${host} ${to}`);
        return { id: `g-${name}` } as GroupMigrationView;
      },
      endOfGroup: (_host, id) => {
        const { promise, resolve } = Promise.withResolvers<GroupEnd>();
        openGroups.set(id, resolve);
        return promise;
      },
      cancelGroup: async (_host, id) => {
        log.push(`cancel ${id}`);
        endGroup(id, 'cancelled');
      },
      nowMs: () => Date.now() + aheadMs,
      lookAgainMs: 20,
      onEvent: (event) => {
        events.push(event);
        if (event.kind === 'ended') memories.push(evacuation.memory());
        // The next attempt is due.
        if (event.kind === 'failed') aheadMs += 120_000;
        if (event.kind !== 'started' || options.hold === true) return;
        const { id, move } = event;
        queueMicrotask(() => (id.startsWith('g-') ? endGroup(id, 'completed') : end(move.vm, 'completed')));
      },
    },
    {
      from: 'a',
      to: options.to ?? null,
      deadlineAtMs: null,
      vms: options.only ?? null,
      skip: new Map(options.skip ?? []),
    },
    options.begun ?? null,
  );
  const seen = async (is: (event: EvacuationEvent) => boolean): Promise<void> => {
    while (!events.some(is)) await new Promise((resolve) => setImmediate(resolve));
  };
  const waits = (): string[] => events.flatMap((event) => (event.kind === 'waits' ? [event.reason] : []));
  return { evacuation, log, events, memories, end, endGroup, seen, waits, looks: () => looks };
}

test('all go to where there is room, and there is an account of each', async () => {
  const { evacuation, log } = trial([vmOf('x'), vmOf('y')]);
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(outcome).toMatchObject({ state: 'completed', stayed: [] });
  expect(outcome.arrived.map(({ vm, to, totalMs, bytes }) => [vm, to, totalMs, bytes]).sort()).toEqual([
    ['x', 'b', 1000, 5],
    ['y', 'b', 1000, 5],
  ]);
  expect(outcome.predictedMs).toBeGreaterThan(0);
  expect(log.toSorted()).toEqual(['x a b:7710', 'y a b:7710']);
});

const BUS = { sharedMemory: [{ name: 'bus', bytes: 4096 }] };

test('VMs that share memory go by one migration of their group, the others by their own', async () => {
  const { evacuation, log } = trial([vmOf('s', BUS), vmOf('t', BUS), vmOf('x')]);
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(outcome).toMatchObject({ state: 'completed', stayed: [] });
  expect(outcome.arrived.map(({ vm }) => vm).sort()).toEqual(['s', 't', 'x']);
  expect(log.toSorted()).toEqual(['group bus a b:7710', 'x a b:7710']);
});

test('of a group that has arrived each VM is accounted for, and what it shares once', async () => {
  const { evacuation, endGroup, seen } = trial([vmOf('s', BUS), vmOf('t', BUS)], { hold: true });
  const running = evacuation.run(NEVER, NEVER);
  await seen(({ kind }) => kind === 'started');
  endGroup('g-bus', 'completed');
  const outcome = await running;
  expect(outcome).toMatchObject({ state: 'completed', stayed: [] });
  expect(outcome.arrived.map(({ vm, bytes }) => [vm, bytes])).toEqual([
    ['s', 105],
    ['t', 5],
  ]);
});

test('a group that fails is tried again as a whole, and left with its reason; one that is cancelled is cancelled once', async () => {
  const failing = trial([vmOf('s', BUS), vmOf('t', BUS)], { hold: true });
  const running = failing.evacuation.run(NEVER, NEVER);
  for (let attempt = 1; attempt <= 3; attempt++) {
    while (failing.log.length < attempt) await new Promise(setImmediate);
    failing.endGroup('g-bus', 'failed');
    await failing.seen((event) => event.kind === 'failed' && event.attempts === attempt && event.vm === 't');
  }
  const reason = expect.stringMatching(/failed 3 times .*its group bus: a VM did not stop/);
  expect((await running).stayed).toEqual([
    { vm: 's', reason },
    { vm: 't', reason },
  ]);
  const { evacuation, log, seen } = trial([vmOf('s', BUS), vmOf('t', BUS)], { hold: true });
  const stop = new AbortController();
  const cancelled = evacuation.run(stop.signal, NEVER);
  await seen(({ kind }) => kind === 'started');
  stop.abort();
  expect(await cancelled).toMatchObject({ state: 'cancelled', arrived: [], running: [] });
  expect(log).toEqual(['group bus a b:7710', 'cancel g-bus']);
});

test('VMs that are wanted together begin at one moment, each with its share of the way; one that is skipped keeps them all', async () => {
  const vms = [vmOf('x'), vmOf('y', { dataPages: 30_000 }), vmOf('z', { dataPages: 60_000 })];
  const { evacuation, log, events } = trial(vms, { together: [['x', 'y']] });
  expect(await evacuation.run(NEVER, NEVER)).toMatchObject({ state: 'completed' });
  expect(log.slice(0, 2).toSorted()).toEqual(['x a b:7710', 'y a b:7710']);
  const rates = events.flatMap((event) => (event.kind === 'started' ? [event.move.limitBytesPerSecond] : []));
  // Between them the whole way, the larger one more of it.
  expect(rates[0]! + rates[1]!).toBeCloseTo(125e6, 0);
  expect(rates[1]! / rates[0]!).toBeGreaterThan(2);
  const skipping = trial([vmOf('x'), vmOf('y'), vmOf('z')], { together: [['x', 'y']], skip: [['x', 'it is to stay']] });
  const outcome = await skipping.evacuation.run(NEVER, NEVER);
  expect(outcome.arrived.map(({ vm }) => vm)).toEqual(['z']);
  expect(outcome.stayed).toEqual([
    { vm: 'x', reason: expect.stringContaining('it is to stay') },
    { vm: 'y', reason: expect.stringContaining('it moves together with x') },
  ]);
});

test('of two hosts with a VM of one name neither is chosen', async () => {
  const { evacuation } = trial([vmOf('x'), vmOf('y')], { listed: (vm, at) => (vm === 'x' ? ['a', 'b'] : [at]) });
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(outcome).toMatchObject({ state: 'incomplete', arrived: [{ vm: 'y' }] });
  expect(outcome.stayed).toEqual([{ vm: 'x', reason: expect.stringContaining('two hosts have a VM of this name') }]);
});

test('a host that does not answer is waited for: its VMs are not taken for gone', async () => {
  const { evacuation, waits } = trial([vmOf('x')], {
    silent: (host, look) => (host === 'a' && look < 2 ? 'no answer' : null),
  });
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(waits()).toEqual(['a does not answer: no answer']);
  expect(outcome).toMatchObject({ state: 'completed', arrived: [{ vm: 'x' }] });
});

test('a destination that falls silent in between gets no more VMs, and they go when it answers again', async () => {
  let isSilent = false;
  let isForeignGone = false;
  const { evacuation, log, end, seen, waits, looks } = trial([vmOf('x'), vmOf('y'), FOREIGN], {
    hold: true,
    silent: (host) => (host === 'b' && isSilent ? 'no answer' : null),
    listed: (vm, at) => (vm === FOREIGN.name && isForeignGone ? [] : [at]),
  });
  const looksTwice = async (): Promise<void> => {
    const before = looks();
    while (looks() < before + 2) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const running = evacuation.run(NEVER, NEVER);
  await seen(({ kind }) => kind === 'started');
  const first = log[0]!.slice(0, 1);
  isSilent = true;
  // While a VM is on its way there, and when it is there.
  await looksTwice();
  end(first, 'completed');
  isForeignGone = true;
  await looksTwice();
  expect(log).toHaveLength(1);
  expect(waits()).toEqual(['b does not answer: no answer']);
  isSilent = false;
  const second = first === 'x' ? 'y' : 'x';
  await seen((event) => event.kind === 'started' && event.move.vm === second);
  end(second, 'completed');
  expect(await running).toMatchObject({ state: 'completed', stayed: [] });
});

test.each([{ to: 'b' }, {}])('a destination is not waited for without end: %o', async (request) => {
  const { evacuation, waits } = trial([vmOf('x')], {
    ...request,
    lookMs: 200_000,
    silent: (host) => (host === 'b' ? 'no answer' : null),
  });
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(outcome).toMatchObject({ state: 'incomplete', stayed: [{ vm: 'x' }] });
  expect(outcome.stayed[0]!.reason).toMatch(/^x is not started: (b does not answer|no host has room)/);
  expect(waits()).toEqual([
    'b does not answer: no answer',
    expect.stringContaining('b has not answered for 5 min and is not waited for any longer'),
  ]);
});

test('where there is no room, that is said in a sentence', async () => {
  const { evacuation } = trial([vmOf('x')], { memoryBytes: GIB / 2 });
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(outcome.stayed).toEqual([{ vm: 'x', reason: expect.stringMatching(/^x is not started: no host has room/) }]);
});

test.each([
  { lists: [] as string[], where: 'by no host (post-copy)' },
  { lists: ['b'], where: 'by its destination' },
  { lists: ['a', 'b'], where: 'by both' },
])('a VM on its way that is listed $where fills the port until its migration ends', async ({ lists }) => {
  let first = '';
  let isForeignGone = false;
  const { evacuation, log, end, seen, looks } = trial([vmOf('x'), vmOf('y'), FOREIGN], {
    hold: true,
    listed: (vm, at) => (vm === first && at === 'a' ? lists : vm === FOREIGN.name && isForeignGone ? [] : [at]),
  });
  const running = evacuation.run(NEVER, NEVER);
  await seen(({ kind }) => kind === 'started');
  first = log[0]!.slice(0, 1);
  const before = looks();
  while (looks() < before + 2) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(log).toEqual([`${first} a b:7710`]);
  isForeignGone = true;
  end(first, 'completed');
  const second = first === 'x' ? 'y' : 'x';
  await seen((event) => event.kind === 'started' && event.move.vm === second);
  end(second, 'completed');
  const outcome = await running;
  expect(outcome).toMatchObject({ state: 'completed', stayed: [] });
  expect(outcome.arrived.map(({ vm }) => vm)).toEqual([first, second]);
});

test('what fails is tried again, and left with its reason after the third time', async () => {
  const { evacuation, log, events } = trial([vmOf('x'), vmOf('y')], {
    fails: (vm, attempt) => (vm === 'y' || attempt === 1 ? 'the disk is slow' : null),
  });
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(outcome.arrived.map(({ vm }) => vm)).toEqual(['x']);
  expect(log.filter((line) => line.startsWith('y'))).toHaveLength(3);
  expect(outcome.stayed).toEqual([{ vm: 'y', reason: expect.stringMatching(/failed 3 times .*the disk is slow/) }]);
  expect(events.flatMap((event) => (event.kind === 'failed' ? [`${event.vm} ${event.attempts}`] : [])).sort()).toEqual([
    'x 1',
    'y 1',
    'y 2',
    'y 3',
  ]);
});

test.each([
  ['cancelled', 'GW_CANCELLED', 'a person cancelled it'],
  ['failed', 'GW_MIGRATION_BLOCKED', 'it was refused'],
])('what ended as %s by %s is not tried again', async (state, code, reason) => {
  const { evacuation, log, end, seen } = trial([vmOf('x')], { hold: true });
  const running = evacuation.run(NEVER, NEVER);
  await seen(({ kind }) => kind === 'started');
  end('x', state, code);
  expect((await running).stayed).toEqual([{ vm: 'x', reason: expect.stringContaining(reason) }]);
  expect(log).toHaveLength(1);
});

test('who cancels has what runs cancelled, and nothing else begun; those that stay are told of', async () => {
  const { evacuation, log, seen } = trial([vmOf('x'), vmOf('y')], { hold: true });
  const stop = new AbortController();
  const running = evacuation.run(stop.signal, NEVER);
  await seen(({ kind }) => kind === 'started');
  stop.abort();
  const outcome = await running;
  expect(outcome).toMatchObject({ state: 'cancelled', arrived: [], running: [] });
  expect(outcome.stayed.map(({ vm }) => vm)).toEqual(['x', 'y']);
  expect(log).toHaveLength(2);
});

test('who cancels while hosts are asked has nothing begun', async () => {
  const stop = new AbortController();
  const { evacuation, log } = trial([vmOf('x')], { beforePicture: () => stop.abort() });
  expect(await evacuation.run(stop.signal, NEVER)).toMatchObject({ state: 'cancelled' });
  expect(log).toEqual([]);
});

test('who cancels a second time leaves at once, and what still runs is named', async () => {
  const { evacuation, log, seen } = trial([vmOf('stubborn')], { hold: true });
  const [stop, leave] = [new AbortController(), new AbortController()];
  const running = evacuation.run(stop.signal, leave.signal);
  await seen(({ kind }) => kind === 'started');
  stop.abort();
  while (!log.includes('cancel m-stubborn')) await new Promise(setImmediate);
  leave.abort();
  expect(await running).toMatchObject({
    state: 'cancelled',
    running: [{ vm: 'stubborn', to: 'b', id: 'm-stubborn' }],
    stayed: [],
  });
});

test('what cannot be gone on from ends it, with what runs named; before anything has begun it is thrown', async () => {
  const broken = (look: number): void => {
    if (look > 0) throw new GodwitError('GW_API_UNAUTHORIZED', { fix: 'give a token' });
  };
  const { evacuation } = trial([vmOf('x'), FOREIGN], { hold: true, beforePicture: broken });
  expect(await evacuation.run(NEVER, NEVER)).toMatchObject({
    state: 'failed',
    error: expect.stringContaining('give a token'),
    running: [{ vm: 'x', id: 'm-x' }],
  });
  const never = trial([vmOf('x')], { beforePicture: () => broken(1) });
  await expect(never.evacuation.run(NEVER, NEVER)).rejects.toMatchObject({ code: 'GW_API_UNAUTHORIZED' });
});

test('who goes on with what another has begun counts all of it, once', async () => {
  const { evacuation, end, log } = trial([vmOf('x'), vmOf('y'), vmOf('z')], { hold: true });
  void evacuation.run(NEVER, NEVER);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(log).toEqual(['x a b:7710']);
  const begun = JSON.parse(JSON.stringify(evacuation.memory())) as EvacuationMemory;
  expect(begun).toMatchObject({ running: [{ move: { vm: 'x' }, id: 'm-x' }], arrived: [] });

  // The next one: x ends, the others follow.
  const next = trial([vmOf('x'), vmOf('y'), vmOf('z')], { begun });
  const outcome = next.evacuation.run(NEVER, NEVER);
  await new Promise((resolve) => setTimeout(resolve, 50));
  next.end('x', 'completed');
  const { state, arrived } = await outcome;
  expect([state, arrived.map(({ vm }) => vm).sort()]).toEqual(['completed', ['x', 'y', 'z']]);
  expect(next.log).not.toContain('x a b:7710');
  expect(next.evacuation.memory().running).toEqual([]);
  end('x', 'cancelled');
});

test('at no moment is a VM remembered as on its way and as arrived', async () => {
  const { evacuation, memories } = trial([vmOf('x'), vmOf('y')]);
  await evacuation.run(NEVER, NEVER);
  expect(memories.map(({ running, arrived }) => [running.length, arrived.length])).toEqual([
    [0, 1],
    [0, 2],
  ]);
});

test('a migration that was meant and never begun is begun by whoever goes on', async () => {
  const first = trial([vmOf('x')], { hold: true });
  void first.evacuation.run(NEVER, NEVER);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const { running, ...rest } = first.evacuation.memory();
  const meant = { ...rest, running: running.map((each) => ({ ...each, id: null })) };
  const { evacuation, log } = trial([vmOf('x')], { begun: meant });
  expect(await evacuation.run(NEVER, NEVER)).toMatchObject({ state: 'completed', stayed: [] });
  expect(log).toEqual(['x a b:7710']);
});

test('who goes on with what is to be cancelled cancels what another has begun', async () => {
  const first = trial([vmOf('x')], { hold: true });
  void first.evacuation.run(NEVER, NEVER);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const { evacuation, log } = trial([vmOf('x'), vmOf('y')], { begun: first.evacuation.memory() });
  const outcome = await evacuation.run(AbortSignal.abort(), NEVER);
  expect([outcome.state, outcome.running, log]).toEqual(['cancelled', [], ['cancel m-x']]);
  expect(outcome.stayed.map(({ vm }) => vm)).toEqual(['x', 'y']);
});

test('only the VMs that are named go', async () => {
  const { evacuation, log } = trial([vmOf('x'), vmOf('y')], { only: ['y'] });
  expect(await evacuation.run(NEVER, NEVER)).toMatchObject({ state: 'completed', stayed: [] });
  expect(log).toEqual(['y a b:7710']);
});

test.each([
  [{}, BUS, 'it shares memory with t'],
  [{ together: [['s', 't']] }, {}, 'it moves together with t'],
])('a VM that goes only with others stays where they are not asked for, and it comes to an end: %o', async (more, shared, reason) => {
  const { evacuation, log } = trial([vmOf('s', shared), vmOf('t', shared), vmOf('x')], { only: ['s', 'x'], ...more });
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(outcome.stayed).toEqual([{ vm: 's', reason: expect.stringContaining(reason) }]);
  expect(log).toEqual(['x a b:7710']);
});

test('a host that answers with an error ends it by name where it is needed; another one only gets no VMs', async () => {
  const error = 'Host a answers with an error: a wrong token';
  const source = trial([vmOf('x')], { refuses: (host) => host === 'a' });
  await expect(source.evacuation.run(NEVER, NEVER)).rejects.toThrow(error);
  const later = trial([vmOf('x'), FOREIGN], { hold: true, refuses: (host, look) => host === 'a' && look > 0 });
  expect(await later.evacuation.run(NEVER, NEVER)).toMatchObject({ state: 'failed', error, running: [{ vm: 'x' }] });
  const other = trial([vmOf('x')], { refuses: (host) => host === 'b' });
  const outcome = await other.evacuation.run(NEVER, NEVER);
  expect(outcome.stayed).toEqual([{ vm: 'x', reason: expect.stringContaining('no host has room') }]);
  expect(other.waits()).toEqual(['b answers with an error: a wrong token']);
});
