/**
 * The destination of a shared region: asks for the pages that its VMs miss, and lends them to the source.
 *
 * Owns: the step of a region at the destination (R5, R6): event in, actions out; the state is changed in place. Pure. It
 * begins before the first VM of the group runs here. Must hold: a page that the source asks back is given at once,
 * whoever waits for it here, because the source holds it only until the VM that touched it stands; the end is believed
 * only when no page is missing.
 */
import type { PageIndex } from '../base/page.ts';
import {
  askAgain,
  giveOwed,
  hearAcknowledgement,
  hearAsk,
  hearPage,
  isHere,
  isPage,
  loseLink,
  needPage,
  openPageTable,
  type PageTable,
  resumeLink,
  type TableSettings,
} from './page-table.ts';
import {
  type ActionList,
  type DestinationAction,
  type RegionMessage,
  type RegionRefusal,
  type RegionStep,
  refuse,
} from './region-words.ts';

export type DestinationSettings = Omit<TableSettings, 'side'>;

export interface DestinationRegion {
  readonly table: PageTable;
  phase: 'moving' | 'complete';
}

export type DestinationRegionEvent =
  | { readonly kind: 'received'; readonly message: RegionMessage }
  /** A VM's access found the page missing. */
  | { readonly kind: 'accessed'; readonly page: PageIndex; readonly vm: string; readonly atMs: number }
  | { readonly kind: 'timePassed'; readonly nowMs: number }
  | { readonly kind: 'linkLost' }
  | { readonly kind: 'linkBack'; readonly nowMs: number };

export function openDestinationRegion(settings: DestinationSettings): DestinationRegion {
  return { table: openPageTable({ ...settings, side: 'destination' }), phase: 'moving' };
}

export function stepDestinationRegion(
  region: DestinationRegion,
  event: DestinationRegionEvent,
): RegionStep<DestinationAction> {
  const actions: DestinationAction[] = [];
  const refusal = take(region, event, actions);
  if (refusal !== null) return refusal;
  giveOwed(region.table, () => false, actions);
  return { kind: 'stepped', actions };
}

function take(
  region: DestinationRegion,
  event: DestinationRegionEvent,
  into: ActionList<DestinationAction>,
): RegionRefusal | null {
  const { table } = region;
  switch (event.kind) {
    case 'received':
      return hear(region, event.message, into);
    case 'accessed':
      return access(table, event.page, event.vm, event.atMs, into);
    case 'timePassed':
      askAgain(table, event.nowMs, into);
      return null;
    case 'linkLost':
      loseLink(table);
      return null;
    case 'linkBack':
      resumeLink(table, event.nowMs, into);
      return null;
  }
}

function access(
  table: PageTable,
  page: PageIndex,
  vm: string,
  atMs: number,
  into: ActionList<DestinationAction>,
): RegionRefusal | null {
  if (!isPage(table, page)) return refuse(`VM ${vm} accessed page ${page} of a region of ${table.settings.pages}`);
  if (!isHere(table, page)) {
    needPage(table, page, atMs, into);
    return null;
  }
  table.tally.accessesToPresent++;
  into.push({ kind: 'wake', page, vm });
  return null;
}

function hear(
  region: DestinationRegion,
  message: RegionMessage,
  into: ActionList<DestinationAction>,
): RegionRefusal | null {
  const { table } = region;
  switch (message.kind) {
    case 'page':
      return hearPage(table, message.page, message.turn, into);
    case 'ask':
      return region.phase === 'moving'
        ? hearAsk(table, message.page, message.turn)
        : refuse(`The source asked for page ${message.page} after it had said complete`);
    case 'acknowledge':
      return hearAcknowledgement(table, message.page, message.turn, into);
    case 'complete':
      return complete(region, into);
    case 'completed':
      return refuse('The source said completed, which only the destination says');
  }
}

/** Said again when the answer was lost. */
function complete(region: DestinationRegion, into: ActionList<DestinationAction>): RegionRefusal | null {
  const { table } = region;
  const missing = table.settings.pages - table.here;
  if (missing > 0) return refuse(`The source said complete while ${missing} pages are missing`);
  if (region.phase === 'moving') into.push({ kind: 'unwatch' });
  region.phase = 'complete';
  into.push({ kind: 'send', message: { kind: 'completed' } });
  return null;
}
