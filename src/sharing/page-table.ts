/**
 * All pages of a shared region as one side sees them, and what both sides do alike: ask, answer, keep to the window, say
 * everything once more when the link is back.
 *
 * Owns: the states of the pages, as plain data: four bytes a page, and entries for the few that are under way. Pure: steps
 * change the table in place, because there are hundreds of thousands of pages, and add to a list of actions.
 * Must hold: the state of a page changes by stepPage alone; pages are given only while the link is there and fewer than
 * `windowPages` are unacknowledged, so the copies have a bound.
 */
import type { PageIndex } from '../base/page.ts';
import { judgeAsk, type PageEvent, type PageState, type PageStep, SIDES, type Side, stepPage } from './page-turn.ts';
import { openTally, type RegionTally } from './region-tally.ts';
import { type ActionList, type PageAction, type RegionRefusal, refuse } from './region-words.ts';

export interface TableSettings {
  readonly side: Side;
  readonly pages: number;
  /** How many pages this side may have given and not seen acknowledged; as many copies are kept at most. */
  readonly windowPages: number;
  /** After so long a page that was asked for is asked for again (R5). */
  readonly askAgainMs: number;
}

/** Why a page is given. `returned`: it was lent to the source. */
export type GivingReason = 'asked' | 'returned' | 'pushed';

export interface PageTable {
  readonly settings: TableSettings;
  readonly turns: Uint32Array;
  /** Given, not acknowledged: in this order they are sent again. */
  readonly leaving: Set<PageIndex>;
  /** Asked for, with the time when that was last said, oldest first. */
  readonly asked: Map<PageIndex, number>;
  /** To be given as soon as the window, the link and the owner of the table allow it; first come, first served. */
  readonly owed: Map<PageIndex, Exclude<GivingReason, 'pushed'>>;
  readonly tally: RegionTally;
  linked: boolean;
  /** How many pages are here. */
  here: number;
}

/** At first every page is the source's. The link is there: the protocol begins on it. */
export function openPageTable(settings: TableSettings): PageTable {
  const { side, pages, windowPages } = settings;
  if (!(pages > 0 && windowPages > 0)) throw new RangeError(`A region of ${pages} pages, ${windowPages} under way`);
  return {
    settings,
    turns: new Uint32Array(pages),
    leaving: new Set(),
    asked: new Map(),
    owed: new Map(),
    tally: openTally(),
    linked: true,
    here: side === 'source' ? pages : 0,
  };
}

/** As an earlier process of this side has left it. @param leaving - given, not acknowledged */
export function restoreTable(table: PageTable, turns: Uint32Array, leaving: readonly PageIndex[]): void {
  table.turns.set(turns);
  for (const page of leaving) table.leaving.add(page);
  table.here = turns.reduce((here, turn) => here + Number(turn % 2 === SIDES[table.settings.side]), 0);
}

export function isPage({ settings }: PageTable, page: PageIndex): boolean {
  return Number.isInteger(page) && page >= 0 && page < settings.pages;
}

export function isHere({ settings, turns }: PageTable, page: PageIndex): boolean {
  return turns[page]! % 2 === SIDES[settings.side];
}

/** At the destination: whether the page has been here, and is at the source for an access of a VM that is being stopped. */
export function isLent({ settings, turns }: PageTable, page: PageIndex): boolean {
  return settings.side === 'destination' && turns[page]! > 1 && turns[page]! % 2 === SIDES.source;
}

/** The first page at or after `from` that is here, -1 if there is none. */
export function nextHere(table: PageTable, from: PageIndex): PageIndex {
  if (table.here === 0) return -1;
  for (let page = from; page < table.settings.pages; page++) if (isHere(table, page)) return page;
  return -1;
}

export function readPage(table: PageTable, page: PageIndex): PageState {
  const away = table.leaving.has(page) ? 'leaving' : 'away';
  const place = isHere(table, page) ? 'here' : away;
  return { place, turn: table.turns[page]!, asked: table.asked.has(page) };
}

/** Whether one more page may be given without the copies outgrowing their bound. */
export function hasRoom({ linked, leaving, settings }: PageTable, windowPages: number = settings.windowPages): boolean {
  return linked && leaving.size < Math.min(windowPages, settings.windowPages);
}

/** A VM waits for a page that is not here. */
export function needPage(table: PageTable, page: PageIndex, nowMs: number, into: ActionList<PageAction>): void {
  if (table.asked.has(page)) return;
  table.tally.asked++;
  keep(table, page, { kind: 'needed' }, into, nowMs);
}

/** The other side asks for a page; it is given by `giveOwed`. */
export function hearAsk(table: PageTable, page: PageIndex, turn: number): RegionRefusal | null {
  if (!isPage(table, page)) return notAPage(table, page);
  const answer = judgeAsk(page, readPage(table, page), turn);
  if (typeof answer === 'object') return answer;
  if (answer === 'answered') table.tally.askedInVain++;
  else if (!table.owed.has(page)) table.owed.set(page, 'asked');
  return null;
}

export function hearPage(
  table: PageTable,
  page: PageIndex,
  turn: number,
  into: ActionList<PageAction>,
): RegionRefusal | null {
  if (!isPage(table, page)) return notAPage(table, page);
  const isNew = turn > table.turns[page]!;
  const refusal = stepInto(table, page, { kind: 'arrived', turn }, into);
  if (refusal === null) table.tally[isNew ? 'arrived' : 'arrivedAgain']++;
  return refusal;
}

export function hearAcknowledgement(
  table: PageTable,
  page: PageIndex,
  turn: number,
  into: ActionList<PageAction>,
): RegionRefusal | null {
  if (!isPage(table, page)) return notAPage(table, page);
  return stepInto(table, page, { kind: 'acknowledged', turn }, into);
}

/** Gives a page that is here; there must be room. */
export function givePage(table: PageTable, page: PageIndex, reason: GivingReason, into: ActionList<PageAction>): void {
  table.owed.delete(page);
  table.tally[reason === 'asked' ? 'givenOnRequest' : reason]++;
  keep(table, page, { kind: 'given' }, into);
}

/**
 * Gives what is owed, as far as there is room.
 * @param isHeld - pages that must stay for now; they stay owed
 */
export function giveOwed(table: PageTable, isHeld: (page: PageIndex) => boolean, into: ActionList<PageAction>): void {
  for (const [page, reason] of table.owed) {
    if (!hasRoom(table)) return;
    if (!isHere(table, page)) table.owed.delete(page);
    else if (!isHeld(page)) givePage(table, page, reason, into);
  }
}

/** Asks again for what was asked for at least `askAgainMs` ago. */
export function askAgain(table: PageTable, nowMs: number, into: ActionList<PageAction>): void {
  if (!table.linked) return;
  const { asked, settings, tally } = table;
  const overdue = [];
  for (const [page, atMs] of asked) {
    if (nowMs - atMs < settings.askAgainMs) break;
    overdue.push(page);
  }
  for (const page of overdue) {
    tally.askedAgain++;
    // To the end: the oldest come first.
    asked.delete(page);
    asked.set(page, nowMs);
    keep(table, page, { kind: 'overdue' }, into);
  }
}

/** Whether no page has ever changed sides. */
export function hasNeverMoved({ turns }: PageTable): boolean {
  return turns.every((turn) => turn === 0);
}

/** The other side has all that was given, and says so by having ended. */
export function forgetLeaving(table: PageTable, into: ActionList<PageAction>): void {
  for (const page of table.leaving) into.push({ kind: 'forget', page });
  table.leaving.clear();
}

export function loseLink(table: PageTable): void {
  table.linked = false;
}

/** Over the new connection: first the pages that may not have arrived, then what was asked for. */
export function resumeLink(table: PageTable, nowMs: number, into: ActionList<PageAction>): void {
  table.linked = true;
  table.tally.sentAgain += table.leaving.size;
  table.tally.askedAgain += table.asked.size;
  for (const page of table.leaving) if (!table.asked.has(page)) keep(table, page, { kind: 'linkBack' }, into);
  for (const page of table.asked.keys()) {
    table.asked.set(page, nowMs);
    keep(table, page, { kind: 'linkBack' }, into);
  }
}

/** A step that this side's own events cannot make refuse. */
function keep(table: PageTable, page: PageIndex, event: PageEvent, into: ActionList<PageAction>, nowMs = 0): void {
  const refusal = stepInto(table, page, event, into, nowMs);
  if (refusal !== null) throw new Error(refusal.rule);
}

function stepInto(
  table: PageTable,
  page: PageIndex,
  event: PageEvent,
  into: ActionList<PageAction>,
  nowMs = 0,
): RegionRefusal | null {
  const step: PageStep = stepPage(page, readPage(table, page), event);
  if (step.kind === 'refused') return step;
  writePage(table, page, step.state, nowMs);
  // What is not sent now is said again when the link is back.
  for (const action of step.actions) if (action.kind !== 'send' || table.linked) into.push(action);
  return null;
}

function writePage(table: PageTable, page: PageIndex, { place, turn, asked }: PageState, nowMs: number): void {
  table.here += Number(place === 'here') - Number(isHere(table, page));
  table.turns[page] = turn;
  if (place === 'leaving') table.leaving.add(page);
  else table.leaving.delete(page);
  if (!asked) table.asked.delete(page);
  else if (!table.asked.has(page)) table.asked.set(page, nowMs);
}

function notAPage({ settings }: PageTable, page: PageIndex): RegionRefusal {
  return refuse(`The peer named page ${page} of a region of ${settings.pages}`);
}
