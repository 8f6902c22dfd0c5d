import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DiskTrial, requestOf, TRIAL_BLOCKS, type TrialStep } from '../../../test/support/disk-trial.ts';
import { triedFor } from '../../../test/support/further-cases.ts';
import { NBD_CMD_FLUSH, NBD_CMD_READ, NBD_CMD_TRIM, NBD_CMD_WRITE, NBD_CMD_WRITE_ZEROES, NbdError } from './numbers.ts';
import type { NbdRequest } from './request-decoder.ts';
import { RequestTable } from './request-table.ts';
import { TrackedRequest } from './tracked-request.ts';

const SCHEDULES_MS = triedFor(2000);

const range = { first: fc.nat(TRIAL_BLOCKS - 1), count: fc.integer({ min: 1, max: 3 }) };
const step: fc.Arbitrary<TrialStep> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constantFrom('write' as const, 'write' as const, 'read' as const), ...range }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('complete' as const), which: fc.nat(9) }) },
  {
    weight: 6,
    arbitrary: fc
      .constantFrom(
        ...(['flush', 'migrate', 'migrate', 'rollBack', 'reconnect', 'hold', 'release', 'collect', 'copy'] as const),
      )
      .map((kind) => ({ kind })),
  },
);
const schedule = fc.array(step, { maxLength: 60, size: 'max' });

function problemsOf(steps: readonly TrialStep[], isFenced: boolean): readonly string[] {
  const trial = new DiskTrial(isFenced);
  for (const each of steps) trial.take(each);
  trial.finish();
  return trial.problems;
}

test('under any schedule nothing older is written over newer, nothing is lost, and the copy is the image', () => {
  fc.assert(
    fc.property(schedule, (steps) => {
      expect(problemsOf(steps, true)).toEqual([]);
    }),
    { numRuns: 1_000_000, interruptAfterTimeLimit: SCHEDULES_MS },
  );
});

test('without the fence it is', () => {
  const isOlder = (problem: string): boolean => / over /.test(problem);
  const found = fc.check(
    fc.property(schedule, (steps) => !problemsOf(steps, false).some(isOlder)),
    { numRuns: 20_000 },
  );
  expect(found.failed).toBe(true);
});

interface Desk {
  readonly table: RequestTable;
  readonly begun: TrackedRequest[];
  /** Errors of answers, in order; by the name of the request. */
  readonly answers: string[];
  ask(
    name: string,
    command: number,
    options?: { generation?: number; offset?: number; client?: number },
  ): TrackedRequest;
}

function openDesk(maxRunning = 4): Desk {
  const begun: TrackedRequest[] = [];
  const answers: string[] = [];
  const table = new RequestTable({ maxRunning, begin: (tracked) => begun.push(tracked), willChange: () => undefined });
  return {
    ...{ table, begun, answers },
    ask: (name, command, { generation = 1, offset = 0, client = generation } = {}) => {
      const answer = (_: TrackedRequest, error: NbdError): void => void answers.push(`${name} ${error}`);
      const from = { id: client, takesHoles: false, answer };
      const tracked = new TrackedRequest(from, generation, requestOf(command, offset), 0);
      table.submit(tracked);
      return tracked;
    },
  };
}

async function isResolved(promise: Promise<void>): Promise<boolean> {
  const open = {};
  return (await Promise.race([promise, Promise.resolve(open)])) !== open;
}

test('a cancel answers reads, writes and flushes, waiting or running, and completes TRIM and WRITE_ZEROES', async () => {
  const { table, ask, answers, begun } = openDesk();
  const running = ask('running', NBD_CMD_WRITE);
  table.hold(() => true);
  ask('write', NBD_CMD_WRITE, { offset: 8192 });
  ask('read', NBD_CMD_READ);
  ask('flush', NBD_CMD_FLUSH);
  const trim = ask('trim', NBD_CMD_TRIM, { offset: 16384 });
  const zeroes = ask('zeroes', NBD_CMD_WRITE_ZEROES, { offset: 32768 });
  const { answered, settled } = table.cancel(1);
  expect(answered).toBe(4);
  expect(answers).toEqual(['running 5', 'write 5', 'read 5', 'flush 5']);
  expect(begun).toEqual([running, trim, zeroes]);
  expect(await isResolved(settled)).toBe(false);
  table.finish(trim, NbdError.none);
  table.finish(zeroes, NbdError.none);
  expect(answers.slice(4)).toEqual(['trim 0', 'zeroes 0']);
  await settled;
});

test('after a cancel flushes succeed, reads and writes fail, until the generation is opened again', () => {
  const { table, ask, answers, begun } = openDesk();
  table.cancel(1);
  ask('flush', NBD_CMD_FLUSH);
  ask('write', NBD_CMD_WRITE);
  expect(answers).toEqual(['flush 0', 'write 5']);
  expect(begun).toEqual([]);
  table.reopen(1);
  const write = ask('write', NBD_CMD_WRITE);
  expect(begun).toEqual([write]);
});

test('a write that was cancelled while it ran ends before what overlaps it begins', () => {
  const { table, ask, begun } = openDesk();
  const old = ask('old', NBD_CMD_WRITE);
  table.cancel(1);
  table.reopen(1);
  const again = ask('again', NBD_CMD_WRITE);
  const elsewhere = ask('elsewhere', NBD_CMD_WRITE, { offset: 4096 });
  expect(begun).toEqual([old, elsewhere]);
  table.finish(old, NbdError.none);
  expect(begun).toEqual([old, elsewhere, again]);
});

test('a write of a client that has gone ends before what overlaps it begins', () => {
  const { table, ask, begun, answers } = openDesk();
  const old = ask('old', NBD_CMD_WRITE, { client: 7 });
  table.forget(7);
  const again = ask('again', NBD_CMD_WRITE, { client: 8 });
  expect(begun).toEqual([old]);
  table.finish(old, NbdError.none);
  expect(begun).toEqual([old, again]);
  expect(answers).toEqual([]);
});

test('the fence discards what waits, and waits for what runs, before the next generation begins', async () => {
  const { table, ask, answers, begun } = openDesk();
  const running = ask('running', NBD_CMD_WRITE);
  table.hold(({ offset }) => offset === 8192);
  ask('waiting', NBD_CMD_WRITE, { offset: 8192 });
  const early = ask('early', NBD_CMD_WRITE, { generation: 2, offset: 65536 });
  const fenced = table.fence(2);
  expect(answers).toEqual(['waiting 108']);
  expect(await isResolved(fenced)).toBe(false);
  ask('late', NBD_CMD_WRITE);
  expect(answers).toEqual(['waiting 108', 'late 108']);
  expect(begun).toEqual([running]);
  table.finish(running, NbdError.none);
  await fenced;
  expect(begun).toEqual([running, early]);
});

test('who will have the disk next may look at it before, and change nothing', () => {
  const { ask, begun } = openDesk();
  const read = ask('read', NBD_CMD_READ, { generation: 2 });
  ask('write', NBD_CMD_WRITE, { generation: 2 });
  ask('trim', NBD_CMD_TRIM, { generation: 2 });
  expect(begun).toEqual([read]);
});

test('no more run than the storage takes at once, and the oldest is next', () => {
  const { table, ask, begun } = openDesk(2);
  const [a, b, c] = ['a', 'b', 'c', 'd'].map((name, index) => ask(name, NBD_CMD_WRITE, { offset: index * 4096 }));
  expect(begun).toEqual([a, b]);
  table.finish(b!, NbdError.none);
  expect(begun).toEqual([a, b, c]);
});

test('what is held goes on when the policy lets it', () => {
  const { table, ask, begun } = openDesk();
  let isCut = true;
  const policy = ({ command }: NbdRequest): boolean => isCut && command === NBD_CMD_READ;
  table.hold(policy);
  const read = ask('read', NBD_CMD_READ);
  const write = ask('write', NBD_CMD_WRITE);
  expect(begun).toEqual([write]);
  isCut = false;
  table.hold(policy);
  expect(begun).toEqual([write, read]);
});

test('a sealed generation changes nothing any more, and what ran has ended when that is told', async () => {
  const { table, ask, begun } = openDesk();
  const write = ask('write', NBD_CMD_WRITE);
  const trim = ask('trim', NBD_CMD_TRIM, { offset: 16384 });
  ask('read', NBD_CMD_READ, { offset: 32768 });
  table.cancel(1);
  const sealed = table.seal(1);
  table.finish(trim, NbdError.none);
  expect(await isResolved(sealed)).toBe(false);
  ask('zeroes', NBD_CMD_WRITE_ZEROES);
  table.finish(write, NbdError.none);
  await sealed;
  expect(begun).toHaveLength(3);
  table.reopen(1);
  expect(begun).toHaveLength(4);
});

test('who waits for the seal is let go when the generation is opened again', async () => {
  const { table, ask } = openDesk();
  ask('trim', NBD_CMD_TRIM);
  table.cancel(1);
  const sealed = table.seal(1);
  table.reopen(1);
  await sealed;
});
