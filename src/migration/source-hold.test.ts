/** Rounds of a migration that is held, with a VM of which the test says what it writes. */
import { expect, test } from 'vitest';
import { SinkChannels } from '../../test/support/sink-channels.ts';
import { FakeClock } from '../base/clock.ts';
import type { PageRun } from '../base/page.ts';
import { Pacer } from '../transfer/pacer.ts';
import { copyRounds } from './copy-rounds.ts';
import type { CopyResult } from './copy-rounds-port.ts';
import { PRIOR_COSTS } from './dirty-estimate.ts';
import type { Interruption } from './interruption.ts';
import { PageSender } from './page-sender.ts';
import type { RoundReport } from './report.ts';
import { DEFAULT_MIGRATION_OPTIONS } from './request.ts';
import { SourceHold } from './source-hold.ts';

const PAGES = 8192;
/** More than fits the downtime. */
const MANY: PageRun = { first: 0, count: 4096 };

/** Rests as long as nobody wakes it, on the clock of the test. */
class TestedHold extends SourceHold {
  rests = 0;
  /** What happens in the nth rest. */
  during: (rest: number) => void = () => undefined;

  override async rest(signal: AbortSignal): Promise<void> {
    const rested = super.rest(signal);
    this.during(++this.rests);
    this.wake();
    await rested;
  }
}

interface Held {
  readonly result: CopyResult;
  readonly rounds: readonly RoundReport[];
  readonly rests: number;
  readonly notes: readonly string[];
  readonly slowed: readonly number[];
}

interface Script {
  /** Written since the look before, at the nth look. */
  readonly written?: (look: number) => readonly PageRun[];
  readonly during: (rest: number, hold: SourceHold, interrupt: (how: Interruption) => void) => void;
  readonly mode?: 'pre-copy' | 'hybrid';
}

async function hold({ written = () => [], during, mode = 'pre-copy' }: Script): Promise<Held> {
  const clock = new FakeClock(1000);
  const rounds: RoundReport[] = [];
  const notes: string[] = [];
  const slowed: number[] = [];
  let looks = 0;
  let interruption: Interruption | null = null;
  const options = { ...DEFAULT_MIGRATION_OPTIONS, mode, hold: { atMostMs: 10_000 } };
  const held = new TestedHold({ options: () => options, note: (text) => notes.push(text) }, clock);
  held.during = (rest) => {
    clock.advance(250);
    during(rest, held, (how) => {
      interruption = how;
    });
  };
  const result = await copyRounds(
    {
      dataRuns: [{ first: 0, count: PAGES }],
      guest: {
        layout: { pageCount: PAGES },
        tracker: { collect: () => [...written(++looks)], peek: () => [], setBudget: () => undefined },
        throttlePercent: 0,
      },
      sender: new PageSender(new SinkChannels(), new Pacer(0)),
      signal: new AbortController().signal,
      options: () => options,
      costs: PRIOR_COSTS,
      canPostCopy: true,
      startedMs: 0,
      wasRunning: true,
      hold: held,
      linkCounts: () => ({ sentBytes: 0, acknowledgedBytes: 0, pages: 0, zeroPages: 0, leftOutPages: 0 }),
      endRound: async () => {
        clock.advance(100);
        return { missed: [], waitedMs: 0 };
      },
      slow: (percent) => slowed.push(percent),
      interruption: () => interruption,
      onBegin: () => undefined,
      onRound: (round) => rounds.push(round),
      onProgress: () => undefined,
    },
    clock,
  );
  return { result, rounds, rests: held.rests, notes, slowed };
}

test('an idle VM that is held sends nothing until it is told to go on', async () => {
  const { result, rounds, rests, notes } = await hold({ during: (rest, held) => rest === 20 && held.release() });
  expect(result).toMatchObject({ kind: 'finish', remaining: [] });
  expect([rounds.map(({ rule }) => rule), rests, notes]).toEqual([['hold'], 20, []]);
});

test('who is never told goes on by himself, and says so', async () => {
  const { result, rests, notes } = await hold({ during: () => undefined });
  expect(result.kind).toBe('finish');
  expect([rests, notes]).toEqual([40, [expect.stringMatching(/^Held for 10.0 s/)]]);
});

test('what is written meanwhile is never lost, and is sent before the stop where it would not fit', async () => {
  const few = { first: 7000, count: 3 };
  const fits = await hold({
    written: (look) => (look === 3 ? [few] : []),
    during: (rest, held) => rest === 5 && held.release(),
  });
  expect(fits.result.remaining).toEqual([few]);
  const { result, rounds, slowed } = await hold({
    // Only the rest, after the first look at the end of the round, leaves many.
    written: (look) => (look === 2 ? [MANY] : []),
    during: (rest, held) => rest === 1 && held.release(),
  });
  expect(result.kind).toBe('finish');
  expect(rounds.map(({ pages, rule }) => [pages, rule]).slice(0, 2)).toEqual([
    [PAGES, 'hold'],
    [MANY.count, expect.any(String)],
  ]);
  expect(new Set(slowed.slice(0, 2))).toEqual(new Set([0]));
});

test('one that is held and writes much takes a fifth of the time of the link', async () => {
  const { rounds, rests } = await hold({
    written: (look) => (look > 1 && look < 22 ? [MANY] : []),
    during: (rest, held) => rest === 20 && held.release(),
  });
  // A round of 100 ms after each 500 of rest.
  expect(rests).toBe(20);
  expect(rounds.length).toBeLessThanOrEqual(12);
});

test('switch-postcopy and the time limit end a hold at once', async () => {
  const asked = await hold({ during: (_rest, _held, interrupt) => interrupt('asked') });
  expect([asked.result.kind, asked.rests]).toEqual(['postCopy', 1]);
  const paused = await hold({ during: (_rest, _held, interrupt) => interrupt('pause') });
  expect([paused.result, paused.rests]).toEqual([expect.objectContaining({ kind: 'finish', isPaused: true }), 1]);
});

test('one that waits for post-copy goes to it with what is left, without a further round', async () => {
  const { result, rounds } = await hold({
    mode: 'hybrid',
    written: (look) => (look === 2 ? [MANY] : []),
    during: (rest, held) => rest === 1 && held.release(),
  });
  expect([result.kind, result.remaining, rounds.length]).toEqual(['postCopy', [MANY], 1]);
});

test('an aborted migration rests no longer', async () => {
  const held = new SourceHold({
    options: () => ({ hold: { atMostMs: 60_000 }, finishByMs: 0 }),
    note: () => undefined,
  });
  const abort = new AbortController();
  const waiting = held.waitWithoutRounds(() => false, abort.signal);
  abort.abort(new Error('cancelled'));
  await expect(waiting).rejects.toThrow('cancelled');
});

test.each([
  ['it is told to go on', 60_000, 0, (held: SourceHold) => held.release(), 0],
  ['its time is over', 1, 0, () => undefined, 1],
  ['its end was promised', 60_000, 5_000, () => undefined, 0],
])('pure post-copy waits until %s', async (_, atMostMs, finishByMs, happens, noted) => {
  const notes: string[] = [];
  const held = new SourceHold({
    options: () => ({ hold: { atMostMs }, finishByMs }),
    note: (text) => notes.push(text),
  });
  const waiting = held.waitWithoutRounds(() => false, new AbortController().signal);
  happens(held);
  await waiting;
  expect(notes).toHaveLength(noted);
});
