import { describe, expect, test } from 'vitest';
import { judgeAsk, type PageEvent, type PageState, stepPage } from './page-turn.ts';
import type { PageAction, RegionMessage } from './region-words.ts';

const PAGE = 7;
const HERE: PageState = { place: 'here', turn: 4, asked: false };
const LEAVING: PageState = { place: 'leaving', turn: 5, asked: false };
const LEAVING_ASKED: PageState = { ...LEAVING, asked: true };
const AWAY: PageState = { place: 'away', turn: 5, asked: false };
const AWAY_ASKED: PageState = { ...AWAY, asked: true };
const BACK: PageState = { place: 'here', turn: 6, asked: false };

const STATES = { HERE, LEAVING, LEAVING_ASKED, AWAY, AWAY_ASKED };
const take: PageAction = { kind: 'takeAway', page: PAGE };
const install: PageAction = { kind: 'install', page: PAGE };
const forget: PageAction = { kind: 'forget', page: PAGE };
const say = (kind: 'page' | 'ask' | 'acknowledge', turn: number): PageAction => {
  const message: RegionMessage = { kind, page: PAGE, turn };
  return { kind: 'send', message };
};

const needed: PageEvent = { kind: 'needed' };
const given: PageEvent = { kind: 'given' };
const overdue: PageEvent = { kind: 'overdue' };
const linkBack: PageEvent = { kind: 'linkBack' };
const arrived = (turn: number): PageEvent => ({ kind: 'arrived', turn });
const acknowledged = (turn: number): PageEvent => ({ kind: 'acknowledged', turn });

/** Every state with every event; a turn that comes from the peer is old, the present one, the next one, or beyond. */
const ROWS: [keyof typeof STATES, PageEvent, PageState | 'refused', PageAction[]][] = [
  ['HERE', needed, 'refused', []],
  ['HERE', given, LEAVING, [take, say('page', 5)]],
  ['HERE', arrived(2), HERE, [say('acknowledge', 2)]],
  ['HERE', arrived(4), HERE, [say('acknowledge', 4)]],
  ['HERE', arrived(5), 'refused', []],
  ['HERE', arrived(6), 'refused', []],
  ['HERE', acknowledged(3), HERE, []],
  ['HERE', acknowledged(5), 'refused', []],
  ['HERE', overdue, HERE, []],
  ['HERE', linkBack, HERE, []],
  ['LEAVING', needed, LEAVING_ASKED, [say('ask', 5)]],
  ['LEAVING', given, 'refused', []],
  ['LEAVING', arrived(4), LEAVING, [say('acknowledge', 4)]],
  ['LEAVING', arrived(6), BACK, [install, say('acknowledge', 6), forget]],
  ['LEAVING', arrived(8), 'refused', []],
  ['LEAVING', acknowledged(3), LEAVING, []],
  ['LEAVING', acknowledged(5), AWAY, [forget]],
  ['LEAVING', acknowledged(6), 'refused', []],
  ['LEAVING', overdue, LEAVING, []],
  ['LEAVING', linkBack, LEAVING, [say('page', 5)]],
  ['LEAVING_ASKED', needed, LEAVING_ASKED, []],
  ['LEAVING_ASKED', given, 'refused', []],
  ['LEAVING_ASKED', arrived(4), LEAVING_ASKED, [say('acknowledge', 4)]],
  ['LEAVING_ASKED', arrived(6), BACK, [install, say('acknowledge', 6), forget]],
  ['LEAVING_ASKED', arrived(7), 'refused', []],
  ['LEAVING_ASKED', acknowledged(5), AWAY_ASKED, [forget]],
  ['LEAVING_ASKED', acknowledged(6), 'refused', []],
  ['LEAVING_ASKED', overdue, LEAVING_ASKED, [say('ask', 5)]],
  ['LEAVING_ASKED', linkBack, LEAVING_ASKED, [say('page', 5), say('ask', 5)]],
  ['AWAY', needed, AWAY_ASKED, [say('ask', 5)]],
  ['AWAY', given, 'refused', []],
  ['AWAY', arrived(4), AWAY, [say('acknowledge', 4)]],
  ['AWAY', arrived(6), BACK, [install, say('acknowledge', 6)]],
  ['AWAY', arrived(7), 'refused', []],
  ['AWAY', acknowledged(5), AWAY, []],
  ['AWAY', acknowledged(6), 'refused', []],
  ['AWAY', overdue, AWAY, []],
  ['AWAY', linkBack, AWAY, []],
  ['AWAY_ASKED', needed, AWAY_ASKED, []],
  ['AWAY_ASKED', given, 'refused', []],
  ['AWAY_ASKED', arrived(4), AWAY_ASKED, [say('acknowledge', 4)]],
  ['AWAY_ASKED', arrived(6), BACK, [install, say('acknowledge', 6)]],
  ['AWAY_ASKED', arrived(7), 'refused', []],
  ['AWAY_ASKED', acknowledged(5), AWAY_ASKED, []],
  ['AWAY_ASKED', acknowledged(6), 'refused', []],
  ['AWAY_ASKED', overdue, AWAY_ASKED, [say('ask', 5)]],
  ['AWAY_ASKED', linkBack, AWAY_ASKED, [say('ask', 5)]],
];

describe('a page', () => {
  test.each(ROWS)('that is %s, %o', (name, event, state, actions) => {
    const expected =
      state === 'refused'
        ? { kind: 'refused', rule: expect.stringContaining(`Page ${PAGE}`) }
        : { kind: 'stepped', state, actions };
    expect(stepPage(PAGE, STATES[name], event)).toEqual(expected);
  });

  test('every state meets every event', () => {
    const met = new Set(ROWS.map(([name, { kind }]) => `${name} ${kind}`));
    expect(met.size).toBe(Object.keys(STATES).length * 6);
  });

  test.each([
    ['that is here', HERE, 4, 'give'],
    ['that came since the question was put', HERE, 2, 'answered'],
    ['that is on its way', LEAVING, 4, 'answered'],
    ['that is there', AWAY, 4, 'answered'],
    ['that is there, as of now', AWAY, 5, 'answered'],
  ] as const)('%s answers a question', (_, state, turn, answer) => {
    expect(judgeAsk(PAGE, state, turn)).toBe(answer);
  });

  test('is not given for a turn that has not been', () => {
    expect(judgeAsk(PAGE, HERE, 5)).toEqual({ kind: 'refused', rule: expect.stringContaining('turn 5') });
  });
});
