/**
 * Every state of the handover × every event, as text: the tables of docs/phases.md.
 *
 * Must hold: `SOURCE_STATES` and `DESTINATION_STATES` have one example of every state that behaves differently, and the
 * event lists one of every event; the compiler checks that no phase, event or message is left out.
 */
import type { ErrorBody } from '../../src/base/errors.ts';
import type { DestinationMessage, Effect, SourceMessage, Step } from '../../src/migration/handover.ts';
import { stepDestination } from '../../src/migration/handover-destination.ts';
import type { DestinationEvent, DestinationState } from '../../src/migration/handover-destination-state.ts';
import { stepSource } from '../../src/migration/handover-source.ts';
import type { SourceEvent, SourceState } from '../../src/migration/handover-source-state.ts';
import { DESTINATION_PHASES, type PhaseRow, SOURCE_PHASES } from '../../src/migration/phases.ts';

const ERROR: ErrorBody = { code: 'GW_INTERNAL', message: 'it broke', details: {} };
const IDENTITY = { migration: 'm1', vm: 'web1', epoch: 2, peer: 'b:7701' };
const UP = { ...IDENTITY, connected: true };
const CUT = { ...IDENTITY, connected: false };
const RAN = { wasRunning: true, pagesMissing: false };

export const SOURCE_STATES: Readonly<Record<string, SourceState>> = {
  preparing: { ...UP, phase: 'preparing' },
  copying: { ...UP, phase: 'copying' },
  stopping: { ...UP, ...RAN, phase: 'stopping' },
  'stopping (was paused)': { ...UP, ...RAN, wasRunning: false, phase: 'stopping' },
  committed: { ...UP, ...RAN, phase: 'committed', resumedAtMs: null },
  'committed (pages missing)': { ...UP, ...RAN, pagesMissing: true, phase: 'committed', resumedAtMs: null },
  'committed (cut)': { ...CUT, ...RAN, phase: 'committed', resumedAtMs: null },
  serving: { ...UP, ...RAN, pagesMissing: true, phase: 'serving', resumedAtMs: 1 },
  'serving (cut)': { ...CUT, ...RAN, pagesMissing: true, phase: 'serving', resumedAtMs: 1 },
  released: { ...UP, phase: 'released' },
  failed: { ...UP, phase: 'failed', owed: false, error: ERROR },
  'failed (abort owed)': { ...UP, phase: 'failed', owed: true, error: ERROR },
  'failed (abort owed, cut)': { ...CUT, phase: 'failed', owed: true, error: ERROR },
  cancelled: { ...UP, phase: 'cancelled', owed: false, error: ERROR },
  'cancelled (abort owed)': { ...UP, phase: 'cancelled', owed: true, error: ERROR },
  lost: { ...UP, phase: 'lost', owed: false, error: ERROR },
  'lost (destination not told)': { ...UP, phase: 'lost', owed: true, error: ERROR },
  'lost (destination not told, cut)': { ...CUT, phase: 'lost', owed: true, error: ERROR },
};

export const DESTINATION_STATES: Readonly<Record<string, DestinationState>> = {
  preparing: { ...IDENTITY, phase: 'preparing' },
  waiting: { ...IDENTITY, phase: 'waiting' },
  receiving: { ...IDENTITY, phase: 'receiving', switchover: null },
  'receiving (switchover)': { ...IDENTITY, phase: 'receiving', switchover: RAN },
  loaded: { ...IDENTITY, ...RAN, phase: 'loaded' },
  'loaded (pages missing)': { ...IDENTITY, ...RAN, pagesMissing: true, phase: 'loaded' },
  'loaded (was paused)': { ...IDENTITY, ...RAN, wasRunning: false, phase: 'loaded' },
  'loaded (was paused, pages missing)': { ...IDENTITY, wasRunning: false, pagesMissing: true, phase: 'loaded' },
  resuming: { ...IDENTITY, ...RAN, phase: 'resuming' },
  'resuming (pages missing)': { ...IDENTITY, ...RAN, pagesMissing: true, phase: 'resuming' },
  pagingIn: { ...IDENTITY, phase: 'pagingIn', resumedAtMs: 1 },
  done: { ...IDENTITY, phase: 'done', resumedAtMs: 1 },
  failed: { ...IDENTITY, phase: 'failed', error: ERROR },
  cancelled: { ...IDENTITY, phase: 'cancelled', error: ERROR },
  lost: { ...IDENTITY, phase: 'lost', error: ERROR },
};

const FROM_DESTINATION: { readonly [K in DestinationMessage['kind']]: Extract<DestinationMessage, { kind: K }> } = {
  ready: { kind: 'ready' },
  notReady: { kind: 'notReady', reason: 'no room yet' },
  refused: { kind: 'refused', error: ERROR },
  loaded: { kind: 'loaded' },
  resumed: { kind: 'resumed', resumedAtMs: 1 },
  allPresent: { kind: 'allPresent' },
  aborted: { kind: 'aborted' },
  failed: { kind: 'failed', owned: true, error: ERROR },
  unknown: { kind: 'unknown' },
};

const FROM_SOURCE: { readonly [K in SourceMessage['kind']]: Extract<SourceMessage, { kind: K }> } = {
  offer: { kind: 'offer' },
  switchover: { kind: 'switchover', ...RAN },
  commit: { kind: 'commit', epoch: 2 },
  abort: { kind: 'abort', cancelled: true, error: ERROR },
  release: { kind: 'release' },
  failed: { kind: 'failed', error: ERROR },
};

type Own<E extends { kind: string }> = { readonly [K in Exclude<E['kind'], 'received'>]: Extract<E, { kind: K }> };

const SOURCE_OWN: Own<SourceEvent> = {
  switchoverDecided: { kind: 'switchoverDecided', ...RAN },
  cancelled: { kind: 'cancelled' },
  failed: { kind: 'failed', error: ERROR },
  guestLost: { kind: 'guestLost', error: ERROR },
  connectionLost: { kind: 'connectionLost', error: ERROR },
  connected: { kind: 'connected' },
};

const DESTINATION_OWN: Own<DestinationEvent> = {
  prepared: { kind: 'prepared' },
  refused: { kind: 'refused', error: ERROR },
  pagesArrived: { kind: 'pagesArrived' },
  stateLoaded: { kind: 'stateLoaded' },
  guestResumed: { kind: 'guestResumed', resumedAtMs: 1 },
  allPagesArrived: { kind: 'allPagesArrived' },
  failed: { kind: 'failed', error: ERROR },
  guestLost: { kind: 'guestLost', error: ERROR },
  connectionLost: { kind: 'connectionLost', error: ERROR },
};

export const SOURCE_EVENTS: Readonly<Record<string, SourceEvent>> = {
  ...Object.fromEntries(
    Object.entries(FROM_DESTINATION).map(([kind, message]) => [`← ${kind}`, { kind: 'received', message } as const]),
  ),
  '← failed (never owned)': { kind: 'received', message: { kind: 'failed', owned: false, error: ERROR } },
  ...SOURCE_OWN,
  'switchoverDecided (pages missing)': { kind: 'switchoverDecided', wasRunning: true, pagesMissing: true },
  'switchoverDecided (is paused)': { kind: 'switchoverDecided', wasRunning: false, pagesMissing: false },
};

export const DESTINATION_EVENTS: Readonly<Record<string, DestinationEvent>> = {
  ...Object.fromEntries(
    Object.entries(FROM_SOURCE).map(([kind, message]) => [`← ${kind}`, { kind: 'received', message } as const]),
  ),
  '← commit (other epoch)': { kind: 'received', message: { kind: 'commit', epoch: 3 } },
  '← abort (failure)': { kind: 'received', message: { kind: 'abort', cancelled: false, error: ERROR } },
  ...DESTINATION_OWN,
};

/** The two tables of phases. */
export function renderPhases(): string {
  return [
    '### Source',
    '',
    ...phaseTable(SOURCE_PHASES),
    '',
    '### Destination',
    '',
    ...phaseTable(DESTINATION_PHASES),
  ].join('\n');
}

/** One table per state of both sides. */
export function renderSteps(): string {
  return [
    ...Object.entries(SOURCE_STATES).flatMap(([name, state]) =>
      stepTable(`Source, ${name}`, SOURCE_EVENTS, (event) => stepSource(state, event)),
    ),
    ...Object.entries(DESTINATION_STATES).flatMap(([name, state]) =>
      stepTable(`Destination, ${name}`, DESTINATION_EVENTS, (event) => stepDestination(state, event)),
    ),
  ].join('\n');
}

function phaseTable(table: Readonly<Record<string, PhaseRow<string>>>): string[] {
  const rows = Object.entries(table).map(
    ([phase, { owner, guestMayRun, next, meaning }]) =>
      `| ${phase} | ${owner} | ${guestMayRun ? 'yes' : 'no'} | ${meaning} | ${next.join(', ') || '–'} |`,
  );
  return ['| phase | owner | guest may run here | meaning | next |', '|---|---|---|---|---|', ...rows];
}

function stepTable<Event>(
  title: string,
  events: Readonly<Record<string, Event>>,
  step: (event: Event) => Step<{ phase: string }, Effect>,
): string[] {
  const rows: string[] = [];
  const refusals = new Map<string, string[]>();
  for (const [name, event] of Object.entries(events)) {
    const result = step(event);
    if (result.kind === 'refused') {
      refusals.set(result.code, [...(refusals.get(result.code) ?? []), name]);
      continue;
    }
    rows.push(`| ${name} | ${result.state.phase} | ${result.effects.map(describe).join(', ') || '–'} |`);
  }
  const refused = [...refusals].map(([code, names]) => `Refused with ${code}: ${names.join(', ')}.`);
  const table = rows.length > 0 ? ['| event | phase then | effects |', '|---|---|---|', ...rows, ''] : [];
  return [`#### ${title}`, '', ...table, ...refused.flatMap((line) => [line, ''])];
}

function describe(effect: Effect): string {
  switch (effect.kind) {
    case 'writeJournal':
      return `**${effect.record.kind}**${effect.record.kind === 'ended' ? ` (${effect.record.outcome})` : ''}`;
    case 'send':
      return `→ ${effect.message.kind}`;
    case 'rollBack':
      return effect.resume ? 'rollBack and resume' : 'rollBack';
    case 'finish':
      return `finish (${effect.outcome})`;
    default:
      return effect.kind;
  }
}
