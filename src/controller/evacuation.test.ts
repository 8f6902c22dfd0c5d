/** Who goes, where to, with whom. */
import { describe, expect, test } from 'vitest';
import { evacuationTrial, FOREIGN, NEVER, vmOf } from '../../test/support/evacuation-trial.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { DEFAULT_POLICY } from '../fleet/fleet-state.ts';
import type { EvacuationOutcome } from './evacuation-port.ts';
import { showVms } from './evacuation-view.ts';

test('all go to where there is room, and there is an account of each', async () => {
  const { evacuation, log } = evacuationTrial([vmOf('x'), vmOf('y')]);
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
  const { evacuation, log } = evacuationTrial([vmOf('s', BUS), vmOf('t', BUS), vmOf('x')]);
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(outcome).toMatchObject({ state: 'completed', stayed: [] });
  expect(outcome.arrived.map(({ vm }) => vm).sort()).toEqual(['s', 't', 'x']);
  expect(log.toSorted()).toEqual(['group bus a b:7710', 'x a b:7710']);
});

test('of a group that has arrived each VM is accounted for, and what it shares once', async () => {
  const { evacuation, endGroup, seen } = evacuationTrial([vmOf('s', BUS), vmOf('t', BUS)], { hold: true });
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
  const failing = evacuationTrial([vmOf('s', BUS), vmOf('t', BUS)], { hold: true });
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
  const { evacuation, log, seen } = evacuationTrial([vmOf('s', BUS), vmOf('t', BUS)], { hold: true });
  const stop = new AbortController();
  const cancelled = evacuation.run(stop.signal, NEVER);
  await seen(({ kind }) => kind === 'started');
  stop.abort();
  expect(await cancelled).toMatchObject({ state: 'cancelled', arrived: [], running: [] });
  expect(log).toEqual(['group bus a b:7710', 'cancel g-bus']);
});

test('VMs that are wanted together begin at one moment, each with its share of the way; one that is skipped keeps them all', async () => {
  const vms = [vmOf('x'), vmOf('y', { dataPages: 30_000 }), vmOf('z', { dataPages: 60_000 })];
  const { evacuation, log, events } = evacuationTrial(vms, { together: [['x', 'y']] });
  expect(await evacuation.run(NEVER, NEVER)).toMatchObject({ state: 'completed' });
  expect(log.slice(0, 2).toSorted()).toEqual(['x a b:7710', 'y a b:7710']);
  const rates = events.flatMap((event) => (event.kind === 'started' ? [event.move.limitBytesPerSecond] : []));
  // Between them the whole way, the larger one more of it.
  expect(rates[0]! + rates[1]!).toBeCloseTo(125e6, 0);
  expect(rates[1]! / rates[0]!).toBeGreaterThan(2);
  const skipping = evacuationTrial([vmOf('x'), vmOf('y'), vmOf('z')], {
    together: [['x', 'y']],
    skip: [['x', 'it is to stay']],
  });
  const outcome = await skipping.evacuation.run(NEVER, NEVER);
  expect(outcome.arrived.map(({ vm }) => vm)).toEqual(['z']);
  expect(outcome.stayed).toEqual([
    { vm: 'x', reason: expect.stringContaining('it is to stay') },
    { vm: 'y', reason: expect.stringContaining('it moves together with x') },
  ]);
});

test('who goes on with an evacuation does not wait for quiet phases from the beginning', async () => {
  const nowMs = Date.now();
  const samples = Array.from({ length: 60 }, (_, i) => {
    const atMs = nowMs - (60 - i + (i % 3) * 0.25) * 60_000;
    // The quiet half of its eight minutes begins in four.
    const isBusy = (nowMs - atMs) % 480_000 >= 240_000;
    const pagesPerSecond = isBusy ? 20_000 + 100 * (i % 3) : 50;
    return { atMs, pagesPerSecond, ms: null, points: [] };
  });
  const rhythmic = () => [vmOf('x', { samples, dataPages: 200_000 })];
  const waiting = evacuationTrial(rhythmic());
  const cancel = new AbortController();
  const waited = waiting.evacuation.run(cancel.signal, NEVER);
  await waiting.seen(({ kind }) => kind === 'planned');
  cancel.abort();
  await waited;
  expect([waiting.waits(), waiting.log]).toEqual([[expect.stringContaining('for its quiet phase')], []]);
  const begunAgoMs = DEFAULT_POLICY.maxQuietWaitMs;
  expect(await evacuationTrial(rhythmic(), { begunAgoMs }).evacuation.run(NEVER, NEVER)).toMatchObject({
    state: 'completed',
  });
});

describe('a VM that has arrived', () => {
  test('is not ordered again by an answer that was asked for before that was known', async () => {
    const [asked, late] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let isForeignGone = false;
    const { evacuation, log, end, looks } = evacuationTrial([vmOf('x'), FOREIGN], {
      hold: true,
      listed: (vm, at) => (vm === FOREIGN.name && isForeignGone ? [] : [at]),
      delayed: async (look) => {
        if (look !== 1) return;
        asked.resolve();
        await late.promise;
      },
    });
    const running = evacuation.run(NEVER, NEVER);
    await asked.promise;
    end('x', 'completed');
    await waitUntil('its end is heard of', () => evacuation.memory().arrived.length > 0);
    late.resolve();
    await waitUntil('it is looked again', () => looks() > 2);
    expect(log).toEqual(['x a b:7710']);
    isForeignGone = true;
    expect(await running).toMatchObject({
      state: 'completed',
      arrived: [{ vm: 'x', endKnownAtMs: expect.any(Number) }],
    });
  });

  test('and that its host has again when it is asked later, goes again', async () => {
    let isBack = true;
    const { evacuation, log, end, events } = evacuationTrial([vmOf('x'), FOREIGN], {
      hold: true,
      listed: (vm, at) => (isBack ? ['a'] : vm === FOREIGN.name ? [] : [at]),
    });
    const begun = (times: number) =>
      waitUntil('it is begun', () => events.filter(({ kind }) => kind === 'started').length === times);
    const running = evacuation.run(NEVER, NEVER);
    await begun(1);
    end('x', 'completed');
    await begun(2);
    isBack = false;
    end('x', 'completed');
    expect(await running).toMatchObject({ state: 'completed', stayed: [] });
    expect(log).toEqual(['x a b:7710', 'x a b:7710']);
  });
});

test('only the VMs that are named go', async () => {
  const { evacuation, log } = evacuationTrial([vmOf('x'), vmOf('y')], { only: ['y'] });
  expect(await evacuation.run(NEVER, NEVER)).toMatchObject({ state: 'completed', stayed: [] });
  expect(log).toEqual(['y a b:7710']);
  // Nor is a VM waited for that somebody else moves.
  const underway = { id: 'm-other', vm: 'foreign', to: 'b:7710', bytesPerSecond: 1, etaMs: 9, ramBytes: 1 };
  const outgoing = (host: string) => (host === 'a' ? [underway] : []);
  const other = evacuationTrial([vmOf('y'), FOREIGN], { only: ['y'], outgoing });
  expect(await other.evacuation.run(NEVER, NEVER)).toMatchObject({ state: 'completed', stayed: [] });
});

test.each([
  [{}, BUS, 'it shares memory with t'],
  [{ together: [['s', 't']] }, {}, 'it moves together with t'],
])('a VM that goes only with others stays where they are not asked for, and it comes to an end: %o', async (more, shared, reason) => {
  const { evacuation, log } = evacuationTrial([vmOf('s', shared), vmOf('t', shared), vmOf('x')], {
    only: ['s', 'x'],
    ...more,
  });
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(outcome.stayed).toEqual([{ vm: 's', reason: expect.stringContaining(reason) }]);
  expect(log).toEqual(['x a b:7710']);
});

test('a destination that its own VMs are to leave gets no more of them, and that is said; what is on its way arrives', async () => {
  let isMarked = false;
  const { evacuation, log, end, seen } = evacuationTrial([vmOf('x'), vmOf('y'), vmOf('z')], {
    ...{ to: 'b', hold: true, closed: () => new Map(isMarked ? [['b', 'it is marked for maintenance']] : []) },
  });
  const running = evacuation.run(NEVER, NEVER);
  await seen(({ kind }) => kind === 'started');
  isMarked = true;
  end('x', 'completed');
  const outcome = await running;
  expect(outcome).toMatchObject({ state: 'incomplete', arrived: [{ vm: 'x' }] });
  expect(outcome.stayed).toEqual(
    ['y', 'z'].map((vm) => ({ vm, reason: `${vm} is parked (b gets no VMs: it is marked for maintenance)` })),
  );
  expect(log).toEqual(['x a b:7710']);
});

test('a host that takes no VMs by the fleet file takes those that are sent there by name', async () => {
  const { evacuation } = evacuationTrial([vmOf('x')], {
    ...{ to: 'b', settings: { hosts: { a: { api: 'unix:/a' }, b: { api: 'unix:/b', takesVms: false } } } },
  });
  expect(await evacuation.run(NEVER, NEVER)).toMatchObject({ state: 'completed', arrived: [{ vm: 'x', to: 'b' }] });
});

test('a VM that somebody else moves is accounted for, by the id of that migration', async () => {
  let where: readonly string[] = ['a'];
  const underway = { id: 'm-other', vm: 'foreign', to: 'b:7710', bytesPerSecond: 1, etaMs: 9, ramBytes: 1 };
  const { evacuation, seen, events } = evacuationTrial([vmOf('x'), FOREIGN], {
    listed: (vm, at) => (vm === FOREIGN.name ? where : [at]),
    outgoing: (host) => (host === 'a' && !where.includes('b') ? [underway] : []),
  });
  const running = evacuation.run(NEVER, NEVER);
  const row = (outcome: EvacuationOutcome | null = null) =>
    showVms(evacuation.memory(), null, outcome).filter(({ vm }) => vm === FOREIGN.name);
  await seen(({ kind }) => kind === 'planned');
  const known = { migration: 'm-other', to: 'b', startedAtMs: null };
  expect(row()).toMatchObject([
    { ...known, state: 'running', reason: 'foreign is moved by somebody else (migration m-other)' },
  ]);
  // In post-copy no host lists it.
  where = [];
  await seen((event) => event.kind === 'ended');
  where = ['b'];
  const outcome = await running;
  expect(outcome).toMatchObject({ state: 'completed', stayed: [] });
  const reason = 'foreign was moved to b by somebody else (migration m-other)';
  expect(row(outcome)).toMatchObject([{ ...known, state: 'arrived', reason }]);
  expect(events.flatMap((event) => (event.kind === 'foreign' ? [event.reason] : []))).toHaveLength(2);
});

test('one that somebody else moved and that has stayed goes as the others', async () => {
  const foreign = vmOf('foreign', { migration: 'm-other' });
  const { evacuation, seen } = evacuationTrial([vmOf('x'), foreign]);
  const running = evacuation.run(NEVER, NEVER);
  await seen(({ kind }) => kind === 'foreign');
  foreign.migration = null;
  expect((await running).arrived.map(({ vm }) => vm).sort()).toEqual(['foreign', 'x']);
  expect(evacuation.memory().foreign).toEqual([]);
});

test('one that somebody else still moves when it is cancelled has not stayed, but is left on its way', async () => {
  const { evacuation, seen } = evacuationTrial([FOREIGN]);
  const stop = new AbortController();
  const running = evacuation.run(stop.signal, NEVER);
  await seen(({ kind }) => kind === 'foreign');
  stop.abort();
  const outcome = await running;
  expect(outcome).toMatchObject({ state: 'cancelled', stayed: [] });
  expect(showVms(evacuation.memory(), null, outcome)).toMatchObject([{ vm: 'foreign', state: 'left' }]);
});
