import { describe, expect, test } from 'vitest';
import {
  askAgain,
  giveOwed,
  givePage,
  hasRoom,
  hearAcknowledgement,
  hearAsk,
  hearPage,
  loseLink,
  needPage,
  nextHere,
  openPageTable,
  readPage,
  resumeLink,
} from './page-table.ts';
import type { Side } from './page-turn.ts';
import type { PageAction } from './region-words.ts';

const open = (side: Side = 'source', windowPages = 2) =>
  openPageTable({ side, pages: 8, windowPages, askAgainMs: 100 });

const KEEP_NONE = () => false;

describe('the pages of one side', () => {
  test('are all at the source at first', () => {
    expect([open('source').here, open('destination').here]).toEqual([8, 0]);
    expect(readPage(open('source'), 3)).toEqual({ place: 'here', turn: 0, asked: false });
    expect(readPage(open('destination'), 3)).toEqual({ place: 'away', turn: 0, asked: false });
  });

  test('are counted and found as they go', () => {
    const table = open();
    run((into) => givePage(table, 0, 'pushed', into));
    run((into) => givePage(table, 1, 'pushed', into));
    expect([table.here, nextHere(table, 0), nextHere(open('destination'), 0)]).toEqual([6, 2, -1]);
  });

  test('a region without pages, or a window without any, is no region', () => {
    expect(() => openPageTable({ side: 'source', pages: 0, windowPages: 1, askAgainMs: 1 })).toThrow(RangeError);
    expect(() => openPageTable({ side: 'source', pages: 1, windowPages: 0, askAgainMs: 1 })).toThrow(RangeError);
  });
});

describe('what is owed', () => {
  test('is given in the order of the questions, as far as the window goes, then as room is made', () => {
    const table = open();
    for (const page of [5, 1, 3]) hearAsk(table, page, 0);
    expect(run((into) => giveOwed(table, KEEP_NONE, into))).toEqual([
      'takeAway 5',
      'page 5 1',
      'takeAway 1',
      'page 1 1',
    ]);
    expect(hasRoom(table)).toBe(false);
    expect(run((into) => hearAcknowledgement(table, 5, 1, into))).toEqual(['forget 5']);
    expect(run((into) => giveOwed(table, KEEP_NONE, into))).toEqual(['takeAway 3', 'page 3 1']);
  });

  test('waits behind nothing that is held', () => {
    const table = open();
    for (const page of [5, 1]) hearAsk(table, page, 0);
    expect(run((into) => giveOwed(table, (page) => page === 5, into))).toEqual(['takeAway 1', 'page 1 1']);
    expect([...table.owed.keys()]).toEqual([5]);
  });

  test('is given once, however often it is asked for', () => {
    const table = open();
    for (let time = 0; time < 3; time++) {
      hearAsk(table, 5, 0);
      run((into) => giveOwed(table, KEEP_NONE, into));
    }
    expect(table.tally).toMatchObject({ givenOnRequest: 1, askedInVain: 2 });
  });

  test('is not given while there is no link', () => {
    const table = open();
    loseLink(table);
    hearAsk(table, 5, 0);
    expect(run((into) => giveOwed(table, KEEP_NONE, into))).toEqual([]);
    run((into) => resumeLink(table, 0, into));
    expect(run((into) => giveOwed(table, KEEP_NONE, into))).toEqual(['takeAway 5', 'page 5 1']);
  });
});

describe('what is missing', () => {
  test('is asked for once, and again after the time, the oldest question first', () => {
    const table = open('destination');
    expect(run((into) => needPage(table, 2, 0, into))).toEqual(['ask 2 0']);
    expect(run((into) => needPage(table, 2, 10, into))).toEqual([]);
    expect(run((into) => needPage(table, 6, 50, into))).toEqual(['ask 6 0']);
    expect(run((into) => askAgain(table, 99, into))).toEqual([]);
    expect(run((into) => askAgain(table, 100, into))).toEqual(['ask 2 0']);
    expect(run((into) => askAgain(table, 150, into))).toEqual(['ask 6 0']);
    expect(run((into) => askAgain(table, 200, into))).toEqual(['ask 2 0']);
    expect(table.tally).toMatchObject({ asked: 2, askedAgain: 3 });
  });

  test('is asked for when the link is back, if it was missed without one', () => {
    const table = open('destination');
    loseLink(table);
    expect(run((into) => needPage(table, 2, 0, into))).toEqual([]);
    expect(run((into) => askAgain(table, 500, into))).toEqual([]);
    expect(run((into) => resumeLink(table, 600, into))).toEqual(['ask 2 0']);
    expect(run((into) => askAgain(table, 650, into))).toEqual([]);
  });

  test('is asked for no more when it has come', () => {
    const table = open('destination');
    run((into) => needPage(table, 2, 0, into));
    expect(run((into) => hearPage(table, 2, 1, into))).toEqual(['install 2', 'acknowledge 2 1']);
    expect(run((into) => askAgain(table, 1000, into))).toEqual([]);
  });
});

describe('after a cut', () => {
  test('what is not acknowledged is sent again, before what is asked for', () => {
    const table = open();
    run((into) => givePage(table, 1, 'pushed', into));
    run((into) => givePage(table, 4, 'pushed', into));
    run((into) => needPage(table, 1, 0, into));
    loseLink(table);
    expect(run((into) => resumeLink(table, 0, into))).toEqual(['page 4 1', 'page 1 1', 'ask 1 1']);
    expect(table.tally).toMatchObject({ sentAgain: 2, askedAgain: 1 });
  });

  test('a page that comes once more is acknowledged and not installed', () => {
    const table = open('destination');
    run((into) => hearPage(table, 1, 1, into));
    expect(run((into) => hearPage(table, 1, 1, into))).toEqual(['acknowledge 1 1']);
    expect(table.tally).toMatchObject({ arrived: 1, arrivedAgain: 1 });
  });
});

describe('a peer', () => {
  test.each([8, -1, 0.5, Number.NaN])('that names page %d is refused', (page) => {
    const table = open();
    const refusal = { kind: 'refused', rule: `The peer named page ${page} of a region of 8` };
    expect(hearAsk(table, page, 0)).toEqual(refusal);
    expect(hearPage(table, page, 1, [])).toEqual(refusal);
    expect(hearAcknowledgement(table, page, 1, [])).toEqual(refusal);
  });

  test('that breaks the order of turns is refused, and nothing has changed', () => {
    const table = open();
    expect(hearPage(table, 1, 2, [])?.kind).toBe('refused');
    expect(hearAsk(table, 1, 1)?.kind).toBe('refused');
    expect(hearAcknowledgement(table, 1, 1, [])?.kind).toBe('refused');
    expect(table).toEqual(open());
  });
});

/** What a step orders, as text. */
function run(act: (into: PageAction[]) => unknown): string[] {
  const into: PageAction[] = [];
  act(into);
  return into.map((action) => {
    if (action.kind !== 'send') return `${action.kind} ${action.page}`;
    const { message } = action;
    return 'page' in message ? `${message.kind} ${message.page} ${message.turn}` : message.kind;
  });
}
