/** Evacuations that are cancelled, left, or gone on with by another controller. */
import { expect, test } from 'vitest';
import { evacuationTrial, NEVER, vmOf } from '../../test/support/evacuation-trial.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { EvacuationMemory } from './evacuation-port.ts';

test('who cancels has what runs cancelled, and nothing else begun; those that stay are told of', async () => {
  const { evacuation, log, seen } = evacuationTrial([vmOf('x'), vmOf('y')], { hold: true });
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
  const { evacuation, log } = evacuationTrial([vmOf('x')], { beforePicture: () => stop.abort() });
  expect(await evacuation.run(stop.signal, NEVER)).toMatchObject({ state: 'cancelled' });
  expect(log).toEqual([]);
});

test('who cancels a second time leaves at once, and what still runs is named', async () => {
  const { evacuation, log, seen } = evacuationTrial([vmOf('stubborn')], { hold: true });
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

test('who goes on with what another has begun counts all of it, once', async () => {
  const { evacuation, end, log } = evacuationTrial([vmOf('x'), vmOf('y'), vmOf('z')], { hold: true });
  void evacuation.run(NEVER, NEVER);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(log).toEqual(['x a b:7710']);
  const begun = JSON.parse(JSON.stringify(evacuation.memory())) as EvacuationMemory;
  expect(begun).toMatchObject({ running: [{ move: { vm: 'x' }, id: 'm-x' }], arrived: [] });

  // The next one: x ends, the others follow.
  const next = evacuationTrial([vmOf('x'), vmOf('y'), vmOf('z')], { begun });
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
  const { evacuation, memories } = evacuationTrial([vmOf('x'), vmOf('y')]);
  await evacuation.run(NEVER, NEVER);
  expect(memories.map(({ running, arrived }) => [running.length, arrived.length])).toEqual([
    [0, 1],
    [0, 2],
  ]);
});

test('who goes on while the destination has never answered it follows what another has begun to its end', async () => {
  const vms = [vmOf('x'), vmOf('y')];
  const first = evacuationTrial(vms, { hold: true });
  void first.evacuation.run(NEVER, NEVER);
  await first.seen(({ kind }) => kind === 'started');
  const { evacuation, end, seen, log } = evacuationTrial(vms, {
    begun: first.evacuation.memory(),
    silent: (host) => (host === 'b' ? 'no answer' : null),
    lookMs: 200_000,
  });
  const outcome = evacuation.run(NEVER, NEVER);
  await seen(({ kind }) => kind === 'planned');
  end('x', 'completed');
  expect(await outcome).toMatchObject({
    ...{ state: 'incomplete', error: null, arrived: [{ vm: 'x' }] },
    stayed: [{ vm: 'y', reason: expect.stringContaining('no host has room') }],
  });
  expect(log).toEqual([]);
});

test('a migration that was meant and never begun is begun by whoever goes on', async () => {
  const first = evacuationTrial([vmOf('x')], { hold: true });
  void first.evacuation.run(NEVER, NEVER);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const { running, ...rest } = first.evacuation.memory();
  const meant = { ...rest, running: running.map((each) => ({ ...each, id: null })) };
  const { evacuation, log } = evacuationTrial([vmOf('x')], { begun: meant });
  expect(await evacuation.run(NEVER, NEVER)).toMatchObject({ state: 'completed', stayed: [] });
  expect(log).toEqual(['x a b:7710']);
});

test('who goes on with what is to be cancelled cancels what another has begun', async () => {
  const first = evacuationTrial([vmOf('x')], { hold: true });
  void first.evacuation.run(NEVER, NEVER);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const { evacuation, log } = evacuationTrial([vmOf('x'), vmOf('y')], { begun: first.evacuation.memory() });
  const outcome = await evacuation.run(AbortSignal.abort(), NEVER);
  expect([outcome.state, outcome.running, log]).toEqual(['cancelled', [], ['cancel m-x']]);
  expect(outcome.stayed.map(({ vm }) => vm)).toEqual(['x', 'y']);
});

const BUS = { sharedMemory: [{ name: 'bus', bytes: 4096 }] };

test.each([
  [true, []],
  [false, ['group bus a b:7710']],
])('of a group whose id nobody has written down each VM is counted, once (known to the host: %o)', async (knowsGroup, asked) => {
  const vms = [vmOf('s', BUS), vmOf('t', BUS)];
  const first = evacuationTrial(vms, { hold: true });
  void first.evacuation.run(NEVER, NEVER);
  await first.seen(({ kind }) => kind === 'started');
  const { running, ...rest } = first.evacuation.memory();
  const begun = { ...rest, running: running.map((each) => ({ ...each, id: null })) };
  const next = evacuationTrial(vms, { begun, knowsGroup });
  const outcome = next.evacuation.run(NEVER, NEVER);
  await waitUntil('its end is waited for', () => next.endGroup('g-bus', 'completed'));
  expect((await outcome).state).toBe('completed');
  expect((await outcome).arrived.map(({ vm, bytes }) => [vm, bytes])).toEqual([
    ['s', 105],
    ['t', 5],
  ]);
  expect(next.log).toEqual(asked);
});
