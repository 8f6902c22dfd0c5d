import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countPages, type PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { PageHeat } from '../memory/page-heat.ts';
import { PushOrder } from './push-order.ts';

const PAGES = 8192;
const ALL: PageRun = { first: 0, count: PAGES };

function owe(...runs: readonly PageRun[]): PageBitmap {
  const owed = PageBitmap.shared(PAGES);
  owed.addRuns(runs);
  return owed;
}

/** Each look found these pages written; the last one is the latest. */
function heatOf(...looks: readonly (readonly PageRun[])[]): PageHeat {
  const heat = new PageHeat(PAGES);
  for (const look of looks) heat.look(look);
  return heat;
}

/** Some pages somebody else takes at the last moment: when the order has found them and is about to. */
class ContestedPages extends PageBitmap {
  readonly #contested: ReadonlySet<number>;
  readonly lost: number[] = [];

  constructor(owed: readonly PageRun[], contested: readonly number[]) {
    super(PAGES);
    this.addRuns(owed);
    this.#contested = new Set(contested);
  }

  override release(page: number): boolean {
    if (this.#contested.has(page) && super.release(page)) this.lost.push(page);
    return super.release(page);
  }
}

function pagesOf(runs: readonly PageRun[]): number[] {
  return runs.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));
}

/** As the page server does it: the page goes first, then the order hears of it. */
function fault(order: PushOrder, owed: PageBitmap, ...pages: readonly number[]): void {
  for (const page of pages) {
    owed.release(page);
    order.fault(page);
  }
}

/** Each step's pages, until nothing is left. */
function takeAll(order: PushOrder, pagesAStep: number): (readonly PageRun[])[] {
  const steps: (readonly PageRun[])[] = [];
  for (let runs = order.take(pagesAStep); runs.length > 0; runs = order.take(pagesAStep)) steps.push(runs);
  return steps;
}

describe('whatever is owed, asked for and hot', () => {
  const page = fc.nat(2047);
  const run = fc.record({ first: page, count: fc.integer({ min: 1, max: 600 }) }).map(within);
  const runs = fc.array(run, { maxLength: 8 });
  const heat = fc.option(
    fc.array(runs, { maxLength: 4 }).map((looks) => heatOf(...looks)),
    { nil: null },
  );
  type Step =
    | { readonly kind: 'fault' | 'stolen'; readonly page: number }
    | { readonly kind: 'take'; readonly pages: number };
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ kind: fc.constantFrom('fault', 'stolen'), page }),
    fc.record({ kind: fc.constant('take' as const), pages: fc.integer({ min: 1, max: 256 }) }),
  );
  const steps = fc.array(step, { maxLength: 60 });

  /** What the order gave, step by step, and what others took meanwhile. */
  function play(order: PushOrder, owed: PageBitmap, history: readonly Step[]) {
    const given: { pages: number; before: number; runs: readonly PageRun[] }[] = [];
    const stolen: number[] = [];
    for (const each of history) {
      if (each.kind === 'take') {
        const before = owed.count();
        given.push({ pages: each.pages, before, runs: order.take(each.pages) });
      } else {
        if (owed.release(each.page)) stolen.push(each.page);
        if (each.kind === 'fault') order.fault(each.page);
      }
    }
    return { given, stolen };
  }

  test('every owed page comes exactly once, from here or from who took it before', () => {
    fc.assert(
      fc.property(runs, heat, steps, (owedRuns, hot, history) => {
        const owed = owe(...owedRuns);
        const all = pagesOf(owed.runs());
        const order = new PushOrder(owed, hot);
        const { given, stolen } = play(order, owed, history);
        const rest = takeAll(order, 256).flatMap(pagesOf);
        const came = [...given.flatMap((each) => pagesOf(each.runs)), ...stolen, ...rest];
        expect(came.sort((a, b) => a - b)).toEqual(all);
        expect(owed.isEmpty()).toBe(true);
      }),
    );
  });

  test('every owed page comes exactly once, also when somebody else is quicker', () => {
    fc.assert(
      fc.property(runs, heat, fc.array(page, { maxLength: 50 }), steps, (owedRuns, hot, contested, history) => {
        const owed = new ContestedPages(owedRuns, [...contested, 0, 1, 2, 3]);
        const all = pagesOf(owed.runs());
        const order = new PushOrder(owed, hot);
        for (const each of contested.slice(0, 5)) order.fault(each);
        const { given } = play(
          order,
          owed,
          history.filter(({ kind }) => kind === 'take'),
        );
        const came = [...given.flatMap((each) => pagesOf(each.runs)), ...takeAll(order, 256).flatMap(pagesOf)];
        expect([...came, ...owed.lost].sort((a, b) => a - b)).toEqual(all);
        expect(came.filter((each) => owed.lost.includes(each))).toEqual([]);
      }),
    );
  });

  test('a step has as many pages as are wanted and owed, in runs that ascend and do not touch', () => {
    fc.assert(
      fc.property(runs, heat, steps, (owedRuns, hot, history) => {
        const owed = owe(...owedRuns);
        const { given } = play(new PushOrder(owed, hot), owed, history);
        expect(given.map((each) => countPages(each.runs))).toEqual(
          given.map(({ pages, before }) => Math.min(pages, before)),
        );
        const isInOrder = ({ first }: PageRun, i: number, all: readonly PageRun[]) =>
          i === 0 || first > all[i - 1]!.first + all[i - 1]!.count;
        expect(given.every((each) => each.runs.every(isInOrder))).toBe(true);
      }),
    );
  });

  test('without faults no page comes before a hotter one of an earlier step, and the coldest come in line', () => {
    fc.assert(
      fc.property(runs, fc.array(runs, { maxLength: 8 }), (owedRuns, looks) => {
        const owed = owe(...owedRuns);
        const hot = heatOf(...looks);
        const cold = pagesOf(owed.runs()).filter((each) => hot.of(each) === 0);
        const came = takeAll(new PushOrder(owed, hot), 1).flatMap(pagesOf);
        const heats = came.map((each) => hot.of(each));
        expect(heats).toEqual([...heats].sort((a, b) => b - a));
        expect(came.filter((each) => hot.of(each) === 0)).toEqual(cold);
      }),
    );
  });
});

function within({ first, count }: PageRun): PageRun {
  return { first, count: Math.min(count, PAGES - first) };
}

describe('pages that were written', () => {
  const [old, both, late] = [
    { first: 100, count: 10 },
    { first: 5000, count: 10 },
    { first: 3000, count: 10 },
  ] as const;

  test('in the last look come before those of the look before, and those of both come first', () => {
    const order = new PushOrder(owe(ALL), heatOf([old, both], [late, both]));
    expect([order.take(10), order.take(10), order.take(10), order.take(10)]).toEqual([
      [both],
      [late],
      [old],
      [{ first: 0, count: 10 }],
    ]);
  });

  test('and are not owed do not come', () => {
    const order = new PushOrder(owe(old), heatOf([both], [late]));
    expect(takeAll(order, 256)).toEqual([[old]]);
  });

  test('share steps with pages around faults that go nowhere', () => {
    const owed = owe(ALL);
    const order = new PushOrder(owed, heatOf([{ first: 5000, count: 100 }]));
    fault(order, owed, 1000);
    expect(order.take(32)).toEqual([
      { first: 1001, count: 16 },
      { first: 5000, count: 16 },
    ]);
  });

  test('wait while faults are on the way somewhere', () => {
    const owed = owe(ALL);
    const order = new PushOrder(owed, heatOf([{ first: 5000, count: 100 }]));
    fault(order, owed, 1000, 1001, 1002);
    expect(order.take(64)).toEqual([{ first: 1003, count: 64 }]);
  });
});

test('when the faults are long ago the rest goes on where it was last', () => {
  const owed = owe(ALL);
  const order = new PushOrder(owed, null);
  expect(order.take(32)).toEqual([{ first: 0, count: 32 }]);
  fault(order, owed, 6000);
  const around = Array.from({ length: 5 }, () => order.take(250));
  expect(around.flatMap(pagesOf).every((page) => Math.abs(page - 6000) < 1000)).toBe(true);
  expect(order.take(32)).toEqual([{ first: 32, count: 32 }]);
});

test('what is owed before the place where the rest has come to comes, too', () => {
  const owed = owe({ first: 4000, count: 100 });
  const order = new PushOrder(owed, null);
  expect(order.take(50)).toEqual([{ first: 4000, count: 50 }]);
  owed.addRun(10, 20);
  expect(takeAll(order, 256)).toEqual([
    [
      { first: 10, count: 20 },
      { first: 4050, count: 50 },
    ],
  ]);
});

describe('after a reconnect', () => {
  test('what is hottest comes first once more', () => {
    const hot = { first: 5000, count: 20 };
    const order = new PushOrder(owe(ALL), heatOf([hot]));
    expect(order.take(40)).toEqual([{ first: 0, count: 20 }, hot]);
    order.restart(owe(ALL));
    expect(order.take(20)).toEqual([hot]);
  });

  test('bubbles begin again at their last fault, and a stream is one still', () => {
    const owed = owe(ALL);
    const order = new PushOrder(owed, null);
    fault(order, owed, 1000, 1001, 1002);
    expect(order.take(64)).toEqual([{ first: 1003, count: 64 }]);
    order.restart(owe(ALL));
    expect(order.take(64)).toEqual([{ first: 1002, count: 64 }]);
  });

  test('the rest goes on where it was, and then from the beginning', () => {
    const order = new PushOrder(owe(ALL), null);
    order.take(256);
    order.restart(owe(ALL));
    expect(order.take(16)).toEqual([{ first: 256, count: 16 }]);
    expect(countPages(takeAll(order, 256).flat())).toBe(PAGES - 16);
  });
});
