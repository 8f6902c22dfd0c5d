/** Hosts that are silent or answer with an error, migrations that fail, a lack of room. */
import { expect, test } from 'vitest';
import { evacuationTrial, FOREIGN, NEVER, vmOf } from '../../test/support/evacuation-trial.ts';
import { GodwitError } from '../base/errors.ts';

test('of two hosts with a VM of one name neither is chosen', async () => {
  const { evacuation } = evacuationTrial([vmOf('x'), vmOf('y')], {
    listed: (vm, at) => (vm === 'x' ? ['a', 'b'] : [at]),
  });
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(outcome).toMatchObject({ state: 'incomplete', arrived: [{ vm: 'y' }] });
  expect(outcome.stayed).toEqual([{ vm: 'x', reason: expect.stringContaining('two hosts have a VM of this name') }]);
});

test('a host that does not answer is waited for: its VMs are not taken for gone', async () => {
  const { evacuation, waits } = evacuationTrial([vmOf('x')], {
    silent: (host, look) => (host === 'a' && look < 2 ? 'no answer' : null),
  });
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(waits()).toEqual(['a does not answer: no answer']);
  expect(outcome).toMatchObject({ state: 'completed', arrived: [{ vm: 'x' }] });
});

test('a host that does not tell in time what is in its VMs is evacuated, and that is told once', async () => {
  const { evacuation, waits, looks } = evacuationTrial([vmOf('x'), vmOf('y')], { partial: ['a'] });
  expect(await evacuation.run(NEVER, NEVER)).toMatchObject({ state: 'completed' });
  expect(looks()).toBeGreaterThan(1);
  expect(waits()).toEqual([expect.stringMatching(/^a has not told in time/)]);
});

test('a destination that falls silent in between gets no more VMs, and they go when it answers again', async () => {
  let isSilent = false;
  let isForeignGone = false;
  const { evacuation, log, end, seen, waits, looks } = evacuationTrial([vmOf('x'), vmOf('y'), FOREIGN], {
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
  const { evacuation, waits } = evacuationTrial([vmOf('x')], {
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
  const { evacuation } = evacuationTrial([vmOf('x')], { memoryBytes: 2 ** 30 / 2 });
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
  const { evacuation, log, end, seen, looks } = evacuationTrial([vmOf('x'), vmOf('y'), FOREIGN], {
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

test('a migration whose connection is lost holds up no other, and is told of as a wait', async () => {
  let stalled = '';
  let isForeignGone = false;
  const known = { to: 'b:7710', bytesPerSecond: 0, etaMs: null, ramBytes: 2 ** 30, waitingFor: 'connection' };
  const { evacuation, log, end, seen, waits } = evacuationTrial([vmOf('x'), vmOf('y'), FOREIGN], {
    hold: true,
    outgoing: (host) => (host === 'a' && stalled !== '' ? [{ ...known, id: `m-${stalled}`, vm: stalled }] : []),
    listed: (vm, at) => ((vm === stalled && at === 'a') || (vm === FOREIGN.name && isForeignGone) ? [] : [at]),
  });
  const running = evacuation.run(NEVER, NEVER);
  await seen(({ kind }) => kind === 'started');
  stalled = log[0]!.slice(0, 1);
  const other = stalled === 'x' ? 'y' : 'x';
  await seen((event) => event.kind === 'started' && event.move.vm === other);
  expect(waits()).toEqual([
    `${stalled} waits for its connection on its way from a to b: others may use the way meanwhile`,
  ]);
  isForeignGone = true;
  end(other, 'completed');
  end(stalled, 'completed');
  expect(await running).toMatchObject({ state: 'completed', stayed: [] });
});

test('what fails is tried again, and left with its reason after the third time', async () => {
  const { evacuation, log, events } = evacuationTrial([vmOf('x'), vmOf('y')], {
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
  ['a VM', [vmOf('x')], 'x a b:7710'],
  ['a group', ['s', 't'].map((vm) => vmOf(vm, { sharedMemory: [{ name: 'bus', bytes: 4096 }] })), 'group bus a b:7710'],
])('what a silent store has held up is not begun by the old plan, and is no failed attempt: %s', async (_, vms, order) => {
  const { evacuation, log, events } = evacuationTrial(vms, { heldMs: (nth) => (nth === 0 ? 6_000 : 0) });
  const outcome = await evacuation.run(NEVER, NEVER);
  expect(outcome).toMatchObject({ state: 'completed', stayed: [] });
  expect(log).toEqual([order]);
  expect(events.filter(({ kind }) => kind === 'planned').length).toBeGreaterThan(2);
  expect(events.filter(({ kind }) => kind === 'failed')).toEqual([]);
});

test('what was held up for a moment is to be over by the same moment', async () => {
  const { evacuation, requests, events } = evacuationTrial([vmOf('x')], {
    ...{ deadlineInMs: 60_000, heldMs: () => 3_000 },
  });
  await evacuation.run(NEVER, NEVER);
  const [promised] = events.flatMap((event) => (event.kind === 'started' ? [event.move.finishByMs] : []));
  expect(promised).toBeGreaterThan(3_000);
  const { finishByMs } = requests.get('x')!;
  expect(finishByMs).toBeGreaterThan(promised! - 4_000);
  expect(finishByMs).toBeLessThanOrEqual(promised! - 3_000);
});

test.each([
  ['cancelled', 'GW_CANCELLED', 'a person cancelled it'],
  ['failed', 'GW_MIGRATION_BLOCKED', 'it was refused'],
])('what ended as %s by %s is not tried again', async (state, code, reason) => {
  const { evacuation, log, end, seen } = evacuationTrial([vmOf('x')], { hold: true });
  const running = evacuation.run(NEVER, NEVER);
  await seen(({ kind }) => kind === 'started');
  end('x', state, code);
  expect((await running).stayed).toEqual([{ vm: 'x', reason: expect.stringContaining(reason) }]);
  expect(log).toHaveLength(1);
});

test('what cannot be gone on from ends it, with what runs named; before anything has begun it is thrown', async () => {
  const broken = (look: number): void => {
    if (look > 0) throw new GodwitError('GW_API_UNAUTHORIZED', { fix: 'give a token' });
  };
  const { evacuation } = evacuationTrial([vmOf('x'), FOREIGN], { hold: true, beforePicture: broken });
  expect(await evacuation.run(NEVER, NEVER)).toMatchObject({
    state: 'failed',
    error: { code: 'GW_API_UNAUTHORIZED', details: { fix: 'give a token' } },
    running: [{ vm: 'x', id: 'm-x' }],
  });
  const never = evacuationTrial([vmOf('x')], { beforePicture: () => broken(1) });
  await expect(never.evacuation.run(NEVER, NEVER)).rejects.toMatchObject({ code: 'GW_API_UNAUTHORIZED' });
});

test('a host that answers with an error ends it by name where it is needed; another one only gets no VMs', async () => {
  const error = 'Host a answers with an error: a wrong token';
  const source = evacuationTrial([vmOf('x')], { refuses: (host) => (host === 'a' ? 'for good' : null) });
  await expect(source.evacuation.run(NEVER, NEVER)).rejects.toThrow(error);
  const later = evacuationTrial([vmOf('x'), FOREIGN], {
    hold: true,
    refuses: (host, look) => (host === 'a' && look > 0 ? 'for good' : null),
  });
  expect(await later.evacuation.run(NEVER, NEVER)).toMatchObject({
    state: 'failed',
    error: { code: 'GW_FLEET_HOST', message: error },
    running: [{ vm: 'x' }],
  });
  const other = evacuationTrial([vmOf('x')], { refuses: (host) => (host === 'b' ? 'for good' : null) });
  const outcome = await other.evacuation.run(NEVER, NEVER);
  expect(outcome.stayed).toEqual([{ vm: 'x', reason: expect.stringContaining('no host has room') }]);
  expect(other.waits()).toEqual(['b answers with an error: a wrong token']);
});

test.each([
  { host: 'a', request: {} },
  { host: 'b', request: { to: 'b' } },
])('an error of $host that passes ends nothing, and one that does not does so after two minutes', async ({
  host,
  request,
}) => {
  const passing = evacuationTrial([vmOf('x')], {
    ...request,
    refuses: (name, look) => (name === host && look < 3 ? 'for now' : null),
  });
  expect(await passing.evacuation.run(NEVER, NEVER)).toMatchObject({ state: 'completed', arrived: [{ vm: 'x' }] });
  expect(passing.waits()).toEqual([`${host} answers with an error: HTTP status 502`]);
  const lasting = evacuationTrial([vmOf('x')], {
    ...{ ...request, lookMs: 50_000 },
    refuses: (name) => (name === host ? 'for now' : null),
  });
  await expect(lasting.evacuation.run(NEVER, NEVER)).rejects.toThrow(
    `Host ${host} answers with an error: HTTP status 502`,
  );
  expect(lasting.looks()).toBe(4);
});

test('a host that turns up with an address that leads each to itself gets no VMs, and that is said', async () => {
  const hosts = { a: { api: 'http://10.0.0.1:7700' }, b: { api: 'http://10.0.0.2:7700', migration: '127.0.0.1:7710' } };
  const { evacuation, waits, log } = evacuationTrial([vmOf('x')], { settings: { hosts } });
  expect(await evacuation.run(NEVER, NEVER)).toMatchObject({ state: 'incomplete', error: null, stayed: [{ vm: 'x' }] });
  expect(waits()).toEqual([expect.stringMatching(/^b gets no VMs: it tells 127.0.0.1:7710: .* give `migration: /)]);
  expect(log).toEqual([]);
});
