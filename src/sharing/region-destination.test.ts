import { describe, expect, test } from 'vitest';
import {
  type DestinationRegion,
  type DestinationRegionEvent,
  openDestinationRegion,
  stepDestinationRegion,
} from './region-destination.ts';
import type { RegionMessage } from './region-words.ts';

const open = (pages = 8) => openDestinationRegion({ pages, windowPages: 1, askAgainMs: 100 });
const arrive = (page: number, turn = 1): DestinationRegionEvent => hear({ kind: 'page', page, turn });
const ask = (page: number, turn = 1): DestinationRegionEvent => hear({ kind: 'ask', page, turn });
const access = (page: number, vm = 'db'): DestinationRegionEvent => ({ kind: 'accessed', page, vm, atMs: 0 });

describe('a page that a VM at the destination misses', () => {
  test('is asked for once, installed when it comes, and acknowledged after that', () => {
    const region = open();
    expect(run(region, access(3), access(3, 'web'))).toEqual(['ask 3 0']);
    expect(run(region, arrive(3))).toEqual(['install 3', 'acknowledge 3 1']);
  });

  test('and that has come meanwhile only wakes the VM', () => {
    const region = open();
    run(region, arrive(3));
    expect(run(region, access(3, 'web'))).toEqual(['wake web 3']);
    expect(region.table.tally.accessesToPresent).toBe(1);
  });

  test('is asked for again after the time, and when the link is back', () => {
    const region = open();
    run(region, access(3));
    expect(run(region, { kind: 'timePassed', nowMs: 100 })).toEqual(['ask 3 0']);
    expect(run(region, { kind: 'linkLost' }, { kind: 'linkBack', nowMs: 101 })).toEqual(['ask 3 0']);
  });
});

describe('a page that the source asks back', () => {
  test('is given at once, also when a VM waits for it here, and asked for again', () => {
    const region = open();
    run(region, access(3), arrive(3));
    expect(run(region, ask(3))).toEqual(['takeAway 3', 'page 3 2']);
    expect(run(region, access(3))).toEqual(['ask 3 2']);
    expect(run(region, arrive(3, 3))).toEqual(['install 3', 'acknowledge 3 3', 'forget 3']);
    expect(region.table.tally.givenOnRequest).toBe(1);
  });

  test('waits until the copy of the one before is needed no more', () => {
    const region = open();
    run(region, arrive(3), arrive(4), ask(3));
    expect(run(region, ask(4))).toEqual([]);
    expect(run(region, hear({ kind: 'acknowledge', page: 3, turn: 2 }))).toEqual([
      'forget 3',
      'takeAway 4',
      'page 4 2',
    ]);
  });
});

describe('the end', () => {
  test('is confirmed when every page is here, as often as it is told', () => {
    const region = open(1);
    run(region, arrive(0));
    expect(run(region, hear({ kind: 'complete' }))).toEqual(['unwatch', 'completed']);
    expect(run(region, hear({ kind: 'complete' }))).toEqual(['completed']);
    expect(region.phase).toBe('complete');
  });

  test.each<[string, DestinationRegionEvent[]]>([
    ['The source said complete while 1 pages are missing', [arrive(0), hear({ kind: 'complete' })]],
    [
      'The source asked for page 0 after it had said complete',
      [arrive(0), arrive(1), hear({ kind: 'complete' }), ask(0)],
    ],
    ['The source said completed, which only the destination says', [hear({ kind: 'completed' })]],
    ['VM db accessed page 2 of a region of 2', [access(2)]],
    ['The peer named page 2 of a region of 2', [arrive(2)]],
  ])('nobody may say: %s', (rule, events) => {
    expect(run(open(2), ...events).at(-1)).toBe(rule);
  });
});

function hear(message: RegionMessage): DestinationRegionEvent {
  return { kind: 'received', message };
}

/** What the steps order, or the rule that one refused, as text. */
function run(region: DestinationRegion, ...events: DestinationRegionEvent[]): string[] {
  return events.flatMap((event) => {
    const step = stepDestinationRegion(region, event);
    if (step.kind === 'refused') return [step.rule];
    return step.actions.map((action) => {
      if (action.kind === 'unwatch') return action.kind;
      if (action.kind === 'wake') return `wake ${action.vm} ${action.page}`;
      if (action.kind !== 'send') return `${action.kind} ${action.page}`;
      const { message } = action;
      return 'page' in message ? `${message.kind} ${message.page} ${message.turn}` : message.kind;
    });
  });
}
