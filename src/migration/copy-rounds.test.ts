import { describe, expect, test } from 'vitest';
import { SinkChannels } from '../../test/support/sink-channels.ts';
import { FakeClock } from '../base/clock.ts';
import { intersectRuns, type PageRun } from '../base/page.ts';
import { Pacer } from '../transfer/pacer.ts';
import { copyRounds } from './copy-rounds.ts';
import type { CopyRoundsPort } from './copy-rounds-port.ts';
import { PRIOR_COSTS } from './dirty-estimate.ts';
import { PageSender } from './page-sender.ts';
import type { RoundReport } from './report.ts';
import { DEFAULT_MIGRATION_OPTIONS } from './request.ts';
import { SourceHold } from './source-hold.ts';

const PAGES = 8192;
const HOLES = 100;
const ROUNDS = 2;

const NOT_HELD = new SourceHold({ options: () => DEFAULT_MIGRATION_OPTIONS, note: () => undefined });

interface Copied {
  readonly rounds: readonly RoundReport[];
  readonly holePages: number | undefined;
  /** As told while the first round went on. */
  readonly remaining: readonly number[];
  readonly isPaused: boolean;
}

/** Two rounds of a VM that rewrites the same pages whenever one looks. */
async function copy(
  rewritten: readonly PageRun[],
  missed: readonly PageRun[] = [],
  ending: Partial<Pick<CopyRoundsPort, 'options' | 'interruption' | 'sender'>> = {},
): Promise<Copied> {
  // So that a round takes its time without anybody waiting.
  const clock = new FakeClock(1000);
  const rounds: RoundReport[] = [];
  const remaining: number[] = [];
  let holePages: number | undefined;
  let ended = 0;
  const port: CopyRoundsPort = {
    dataRuns: [{ first: 0, count: PAGES }],
    guest: {
      layout: { pageCount: PAGES + HOLES },
      tracker: {
        collect: () => [...rewritten],
        peek: (run) => intersectRuns([run], rewritten),
        setBudget: () => undefined,
      },
      throttlePercent: 99,
    },
    sender: new PageSender(new SinkChannels(), new Pacer(0)),
    signal: new AbortController().signal,
    options: () => ({ ...DEFAULT_MIGRATION_OPTIONS, mode: 'pre-copy', maxDowntimeMs: 1 }),
    costs: PRIOR_COSTS,
    canPostCopy: false,
    startedMs: 0,
    wasRunning: true,
    linkCounts: () => ({ sentBytes: 0, acknowledgedBytes: 0, pages: 0, zeroPages: 0, leftOutPages: 0 }),
    endRound: async (round) => {
      const isFirst = ended === 0;
      ended = round;
      clock.advance(100);
      return { missed: isFirst ? missed : [], waitedMs: 0 };
    },
    slow: () => undefined,
    hold: NOT_HELD,
    interruption: () => (ended < ROUNDS ? null : 'pause'),
    onBegin: (pages) => {
      holePages = pages;
    },
    onRound: (round) => rounds.push(round),
    onProgress: (state) => {
      if (state.round === 1) remaining.push(state.remainingPages);
    },
    ...ending,
  };
  const { isPaused } = await copyRounds(port, clock);
  return { rounds, holePages, remaining, isPaused };
}

test('pages that the destination was to hold and does not come in the same round', async () => {
  const rewritten = [{ first: 0, count: 10 }];
  const [plain] = (await copy(rewritten)).rounds;
  const [round] = (await copy(rewritten, [{ first: 5000, count: 300 }])).rounds;
  expect([round!.number, round!.pages]).toEqual([1, plain!.pages]);
  expect(round!.bytes - plain!.bytes).toBeGreaterThanOrEqual(300 * 4096);
});

class NotingSender extends PageSender {
  readonly named: unknown[] = [];

  override send(...[runs, options]: Parameters<PageSender['send']>): ReturnType<PageSender['send']> {
    this.named.push(options.mayName);
    return super.send(runs, options);
  }
}

test('pages that other VMs bring are named in the first round only: no later one waits for them', async () => {
  const sender = new NotingSender(new SinkChannels(), new Pacer(0));
  const { named } = sender;
  await copy([{ first: 0, count: PAGES }], [{ first: 5000, count: 300 }], { sender });
  // What was missed is not named again.
  const first = named.indexOf(undefined);
  expect(new Set(named.slice(0, first))).toEqual(new Set(['awaited']));
  expect(new Set(named.slice(first + 1))).toEqual(new Set(['held']));
});

test('pages that other VMs bring are not waited for where the end was promised', async () => {
  const sender = new NotingSender(new SinkChannels(), new Pacer(0));
  const options = () => ({ ...DEFAULT_MIGRATION_OPTIONS, finishByMs: 60_000 });
  await copy([{ first: 0, count: PAGES }], [], { sender, options });
  expect(new Set(sender.named)).toEqual(new Set(['held']));
});

test('what is written in every round is left for the stop, goes on counting as left, and is no modification', async () => {
  const hot = { first: 1000, count: 2000 };
  const clock = new FakeClock();
  const rounds: RoundReport[] = [];
  let ended = 0;
  // Hot pages are written in each of the first five rounds, and in none any more after them.
  const collect = () => (ended <= 5 ? [hot] : []);
  const result = await copyRounds(
    {
      dataRuns: [{ first: 0, count: PAGES }],
      guest: {
        layout: { pageCount: PAGES },
        tracker: { collect, peek: () => [], setBudget: () => undefined },
        throttlePercent: 0,
      },
      sender: new PageSender(new SinkChannels(), new Pacer(0)),
      signal: new AbortController().signal,
      // Ten milliseconds for the last pages: about a tenth of what a round of the hot pages takes.
      options: () => ({ ...DEFAULT_MIGRATION_OPTIONS, mode: 'pre-copy', maxDowntimeMs: 25 }),
      linkCounts: () => ({ sentBytes: 0, acknowledgedBytes: 0, pages: 0, zeroPages: 0, leftOutPages: 0 }),
      costs: { ...PRIOR_COSTS, stateBytes: 0 },
      canPostCopy: false,
      startedMs: 0,
      wasRunning: false,
      endRound: async (round) => {
        ended = round;
        clock.advance(100);
        return { missed: [], waitedMs: 0 };
      },
      slow: () => undefined,
      hold: NOT_HELD,
      interruption: () => (ended < 6 ? null : 'pause'),
      onBegin: () => undefined,
      onRound: (round) => rounds.push(round),
      onProgress: () => undefined,
    },
    clock,
  );
  const sent = rounds.map(({ pages }) => pages);
  expect(sent.slice(0, 3)).toEqual([PAGES, hot.count, hot.count]);
  const deferred = hot.count - sent[3]!;
  expect(deferred).toBeGreaterThan(0);
  expect(deferred).toBeLessThan(hot.count / 10);
  // The last round sent all but the deferred pages, nobody wrote anything, and exactly they are left.
  expect(result.remaining).toEqual([{ first: hot.first, count: hot.count - sent[5]! }]);
  expect(rounds[5]!.modificationPagesPerSecond).toBe(0);
  // As the six rounds found it, the last one first.
  expect([result.heat?.of(hot.first), result.heat?.of(0)]).toEqual([0b0111_1100, 0]);
});

describe('copy rounds', () => {
  test('when the time is up the VM is paused, whoever sees it first: the timer, or the end of a round', async () => {
    const options = { ...DEFAULT_MIGRATION_OPTIONS, timeoutMs: 1, onTimeout: 'pause' } as const;
    expect(await copy([], [], { options: () => options, interruption: () => null })).toMatchObject({ isPaused: true });
    expect(await copy([{ first: 0, count: PAGES }])).toMatchObject({ isPaused: true });
    const small = { ...DEFAULT_MIGRATION_OPTIONS, maxDowntimeMs: 60_000 };
    expect(await copy([], [], { options: () => small, interruption: () => null })).toMatchObject({ isPaused: false });
  });

  test('a VM that rewrites everything at once still has a part of every round sent', async () => {
    const { rounds } = await copy([{ first: 0, count: PAGES }]);
    expect(rounds.map(({ pages }) => pages)).toEqual([PAGES / 16, PAGES / 16]);
  });

  test('pages that are rewritten at once are never sent while they are no more than that part', async () => {
    const hot = { first: 1000, count: PAGES / 2 };
    const { rounds } = await copy([hot]);
    expect(rounds[0]!.pages).toBe(PAGES - hot.count);
  });

  test('what is left of a round is told as it goes, and the holes before it', async () => {
    const { remaining, holePages } = await copy([]);
    expect(remaining).toEqual([PAGES, ...Array.from({ length: 32 }, (_, i) => PAGES - (i + 1) * 256)]);
    expect(holePages).toBe(HOLES);
  });
});
