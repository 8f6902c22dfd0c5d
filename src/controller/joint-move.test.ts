/** VMs that go together: when they are told to go on, and what becomes of the others when one stays. */
import { expect, test } from 'vitest';
import { evacuationTrial, NEVER, vmOf } from '../../test/support/evacuation-trial.ts';
import { LONGEST_HOLD_MS } from '../migration/request.ts';
import type { EvacuationMemory } from './evacuation-port.ts';

const TOGETHER = { together: [['x', 'y']], hold: true } as const;
const BEGUN = ['x a b:7710', 'y a b:7710'];
const turn = () => new Promise(setImmediate);

async function begun(more: Parameters<typeof evacuationTrial>[1] = {}, vms = [vmOf('x'), vmOf('y')]) {
  const trial = evacuationTrial(vms, { ...TOGETHER, ...more });
  const running = trial.evacuation.run(NEVER, NEVER);
  await bothBegun(trial, 1);
  return { ...trial, running };
}

/** The nth time, and both are followed. */
async function bothBegun({ events }: Pick<ReturnType<typeof evacuationTrial>, 'events'>, times: number): Promise<void> {
  while (events.filter(({ kind }) => kind === 'started').length < 2 * times) await turn();
  await turn();
}

test('they are held, and told to go on in one message when the last of them is ready', async () => {
  const { running, log, requests, tell, end } = await begun();
  for (const vm of ['x', 'y']) expect(requests.get(vm)).toMatchObject({ hold: { atMostMs: LONGEST_HOLD_MS } });
  tell('x', 'ready');
  tell('y', 'copying');
  await turn();
  expect(log).toEqual(BEGUN);
  tell('y', 'ready');
  tell('x', 'ready');
  await turn();
  expect(log).toEqual([...BEGUN, 'go m-x m-y']);
  for (const vm of ['x', 'y']) {
    tell(vm, 'leaving');
    end(vm, 'completed');
  }
  expect(await running).toMatchObject({ state: 'completed', stayed: [] });
  expect(log).toHaveLength(3);
});

test('one that goes by itself is held for nobody', async () => {
  const { evacuation, requests } = evacuationTrial([vmOf('x')]);
  await evacuation.run(NEVER, NEVER);
  expect(requests.get('x')).not.toHaveProperty('hold');
});

test('a host that does not take the word is told again', async () => {
  let refuses = true;
  const { running, log, tell, end } = await begun({ goes: () => !refuses });
  for (const vm of ['x', 'y']) tell(vm, 'ready');
  await turn();
  refuses = false;
  tell('x', 'ready');
  tell('y', 'ready');
  await turn();
  // Those of which more was heard, until it has taken it.
  expect(log.slice(2, 4)).toEqual(['go m-x m-y', 'go m-x m-y']);
  for (const vm of ['x', 'y']) end(vm, 'completed');
  await running;
});

test('where one fails the other is cancelled, and both are tried again as one, and stay as one', async () => {
  const trial = await begun();
  for (let attempt = 1; attempt <= 3; attempt++) {
    await bothBegun(trial, attempt);
    trial.tell('x', 'ready');
    trial.end('y', 'failed');
    await trial.seen((event) => event.kind === 'failed' && event.vm === 'x' && event.attempts === attempt);
  }
  const { stayed, arrived } = await trial.running;
  expect(arrived).toEqual([]);
  expect(stayed.map(({ vm }) => vm)).toEqual(['x', 'y']);
  expect(stayed[0]!.reason).toContain('it goes together with y, which has stayed');
  expect(trial.log.filter((line) => line === 'cancel m-x')).toHaveLength(3);
  expect(trial.log.filter((line) => line.startsWith('go'))).toEqual([]);
});

test('a person who cancels one keeps both where they are', async () => {
  const { running, log, end } = await begun();
  end('y', 'cancelled');
  expect((await running).stayed).toMatchObject([
    { vm: 'x', reason: expect.stringContaining('y') },
    { vm: 'y', reason: expect.stringContaining('a person cancelled it') },
  ]);
  expect(log).toEqual([...BEGUN, 'cancel m-x']);
});

test('one that has gone by itself, because its time was over, is waited for by nobody', async () => {
  const { running, log, tell, end } = await begun();
  tell('y', 'copying');
  tell('x', 'leaving');
  await turn();
  expect(log).toEqual([...BEGUN, 'go m-y']);
  end('x', 'failed');
  await turn();
  expect(log).toEqual([...BEGUN, 'go m-y']);
  end('y', 'completed');
  // x is tried by itself: y is not there any more.
  while (log.length < 4) await turn();
  await turn();
  end('x', 'completed');
  expect(await running).toMatchObject({ state: 'completed' });
});

test('who cancels the evacuation cancels each of them once, held or not', async () => {
  const { evacuation, log, tell, events } = evacuationTrial([vmOf('x'), vmOf('y')], TOGETHER);
  const stop = new AbortController();
  const running = evacuation.run(stop.signal, NEVER);
  await bothBegun({ events }, 1);
  tell('x', 'ready');
  stop.abort();
  expect(await running).toMatchObject({ state: 'cancelled', arrived: [], running: [] });
  expect(log.toSorted()).toEqual(['cancel m-x', 'cancel m-y', ...BEGUN].toSorted());
});

/** What a controller remembered that died while both were held. */
async function memoryOfHeld(): Promise<EvacuationMemory> {
  const { evacuation, tell } = await begun();
  tell('x', 'ready');
  // As the store has it.
  return JSON.parse(JSON.stringify(evacuation.memory())) as EvacuationMemory;
}

test('whoever goes on finds those that are held, and tells them to go on when all are ready', async () => {
  const { evacuation, log, tell, end } = evacuationTrial([vmOf('x'), vmOf('y')], {
    ...TOGETHER,
    begun: await memoryOfHeld(),
    stage: (vm) => (vm === 'x' ? 'ready' : 'copying'),
  });
  const running = evacuation.run(NEVER, NEVER);
  await turn();
  expect(log).toEqual([]);
  tell('y', 'ready');
  await turn();
  expect(log).toEqual(['go m-x m-y']);
  for (const vm of ['x', 'y']) end(vm, 'completed');
  expect(await running).toMatchObject({ state: 'completed' });
});

test.each([
  [
    'whose failure was written down',
    (memory: EvacuationMemory) => ({ ...memory, running: memory.running.filter(({ move }) => move.vm === 'x') }),
  ],
  [
    'that was not begun after all',
    (memory: EvacuationMemory) => ({
      ...memory,
      running: memory.running.map((each) => (each.move.vm === 'y' ? { ...each, id: null } : each)),
    }),
  ],
])('whoever goes on cancels the one that is held for one %s, and both go as one', async (_, after) => {
  const trial = evacuationTrial([vmOf('x'), vmOf('y')], {
    ...TOGETHER,
    begun: after(await memoryOfHeld()),
    stage: () => 'ready',
  });
  const running = trial.evacuation.run(NEVER, NEVER);
  while (trial.log.length < 4) await turn();
  await turn();
  expect(trial.log).toEqual(['cancel m-x', ...BEGUN, 'go m-x m-y']);
  for (const vm of ['x', 'y']) trial.end(vm, 'completed');
  expect(await running).toMatchObject({ state: 'completed' });
});
