/**
 * One page of a shared region as one side sees it: whether the page is here, and how often it has changed sides.
 *
 * Owns: the step of one page, the same on both sides: state and event in, state and actions out. Pure. Must hold (R7):
 * - a page is at one side at every moment: who gives it has taken it away from its own VMs first;
 * - every change of sides has a number, the page's *turn*. Even turns are the source's (turn 0: it has never moved), odd
 *   ones the destination's. A page is installed only if its turn is the one after that of this side, so a page that was
 *   sent twice, or a copy from before a later turn, is never installed;
 * - who gave a page keeps a copy until the other side says, by acknowledging this turn or by giving the next one, that it
 *   is in place: so a cut link loses none, and all that has to be done afterwards is to say everything once more.
 *
 *   here ── given ──▶ leaving ── acknowledged ──▶ away ── arrived ──▶ here
 *                        └──────── arrived (the next turn) ────────────┘
 */
import type { PageIndex } from '../base/page.ts';
import { type PageAction, type RegionRefusal, refuse } from './region-words.ts';

/** The parity of the turns in which a page is at this side. */
export const SIDES = { source: 0, destination: 1 } as const;
export type Side = keyof typeof SIDES;

export interface PageState {
  /** `leaving`: given, not acknowledged; a copy is kept. */
  readonly place: 'here' | 'leaving' | 'away';
  /** How often the page has changed sides, as far as this side knows. */
  readonly turn: number;
  /** This side wants it (R5: "requested"); never while it is here. */
  readonly asked: boolean;
}

export type PageEvent =
  /** A VM of this side waits for it. */
  | { readonly kind: 'needed' }
  /** The other side is to have it, and there is room for its copy. */
  | { readonly kind: 'given' }
  | { readonly kind: 'arrived'; readonly turn: number }
  | { readonly kind: 'acknowledged'; readonly turn: number }
  /** It was asked for some time ago (R5). */
  | { readonly kind: 'overdue' }
  /** There is a new connection. */
  | { readonly kind: 'linkBack' };

export type PageStep =
  | { readonly kind: 'stepped'; readonly state: PageState; readonly actions: readonly PageAction[] }
  | RegionRefusal;

export function stepPage(page: PageIndex, state: PageState, event: PageEvent): PageStep {
  switch (event.kind) {
    case 'needed':
      if (state.place === 'here') return refuse(`Page ${page} is needed where it is`);
      return state.asked ? stepped(state) : stepped({ ...state, asked: true }, ask(page, state.turn));
    case 'given':
      return give(page, state);
    case 'arrived':
      return arrive(page, state, event.turn);
    case 'acknowledged':
      if (event.turn > state.turn) return refuse(`Page ${page} was acknowledged at turn ${event.turn}, not given yet`);
      // Of an earlier turn: the next one has come meanwhile, which says the same.
      if (state.place !== 'leaving' || event.turn !== state.turn) return stepped(state);
      return stepped({ ...state, place: 'away' }, { kind: 'forget', page });
    case 'overdue':
      return state.asked ? stepped(state, ask(page, state.turn)) : stepped(state);
    case 'linkBack':
      return stepped(
        state,
        ...(state.place === 'leaving' ? [sendPage(page, state.turn)] : []),
        ...(state.asked ? [ask(page, state.turn)] : []),
      );
  }
}

/**
 * What an `ask` of the other side is about: the page that is here, or one that is on its way or was there already when
 * the question came. The latter needs no answer: the page that answers it was sent before.
 */
export function judgeAsk(page: PageIndex, state: PageState, turn: number): 'give' | 'answered' | RegionRefusal {
  if (turn > state.turn) return refuse(`Page ${page} was asked for as of turn ${turn}, which has not been`);
  return state.place === 'here' && turn === state.turn ? 'give' : 'answered';
}

function give(page: PageIndex, state: PageState): PageStep {
  if (state.place !== 'here') return refuse(`Page ${page} is to be given and is not here`);
  const turn = state.turn + 1;
  return stepped({ place: 'leaving', turn, asked: false }, { kind: 'takeAway', page }, sendPage(page, turn));
}

function arrive(page: PageIndex, state: PageState, turn: number): PageStep {
  const answer = acknowledge(page, turn);
  // Sent again because the acknowledgement was lost: it is in place, or was, and went on since.
  if (turn <= state.turn) return stepped(state, answer);
  if (turn !== state.turn + 1 || state.place === 'here') {
    return refuse(`Page ${page} arrived with turn ${turn} where it is ${state.place} since turn ${state.turn}`);
  }
  const here: PageState = { place: 'here', turn, asked: false };
  const install: PageAction = { kind: 'install', page };
  // That it comes back says that it had arrived. The copy goes last: until then there is one more than needed, not less.
  if (state.place === 'leaving') return stepped(here, install, answer, { kind: 'forget', page });
  return stepped(here, install, answer);
}

function stepped(state: PageState, ...actions: PageAction[]): PageStep {
  return { kind: 'stepped', state, actions };
}

function sendPage(page: PageIndex, turn: number): PageAction {
  return { kind: 'send', message: { kind: 'page', page, turn } };
}

function ask(page: PageIndex, turn: number): PageAction {
  return { kind: 'send', message: { kind: 'ask', page, turn } };
}

function acknowledge(page: PageIndex, turn: number): PageAction {
  return { kind: 'send', message: { kind: 'acknowledge', page, turn } };
}
