/**
 * The words of the region protocol: messages between the two sides of a memory region that VMs share, and the actions
 * that the steps order. The steps themselves are in page-turn.ts (one page), region-source.ts and region-destination.ts
 * (a region); diagrams, the table of messages and what whoever drives the steps must hold to are in docs/sharing.md.
 *
 * Owns: the protocol by which the pages of a shared region pass between two hosts, each being at one of them (R3, R5,
 * R7). Pure: only numbers of pages and turns pass through it, never a page's data.
 * Must hold for whoever carries out the actions of one step:
 * - they are done in order, each finished before the next, and before the next event of this side is given;
 * - a `send` goes over the one ordered connection; without a connection it does nothing, because everything that has not
 *   been acknowledged is sent again when the link is back;
 * - what comes over a connection is not given to the step any more once `linkLost` was.
 */
import type { PageIndex } from '../base/page.ts';

/** Both sides say the first three; only the source says `complete`, only the destination `completed`. */
export type RegionMessage =
  /** The page, with its data: it is the receiver's from here on, for the `turn`th time that it has changed sides. */
  | { readonly kind: 'page'; readonly page: PageIndex; readonly turn: number }
  /** Wants the page: for all that the sender knows, it is the receiver's since `turn`. */
  | { readonly kind: 'ask'; readonly page: PageIndex; readonly turn: number }
  /** The page of this turn is in place: the sender's copy is needed no more. */
  | { readonly kind: 'acknowledge'; readonly page: PageIndex; readonly turn: number }
  /** Every page of the region has been sent, and no VM is left at the source (R6). */
  | { readonly kind: 'complete' }
  /** Every page of the region is at the destination. */
  | { readonly kind: 'completed' };

/** What both sides do. */
export type PageAction =
  /**
   * Take the page away from every local VM and keep a copy of it: write-protect it in all local processes, read it into
   * the copy, punch it out of the file, wake. In this order: see docs/sharing.md.
   */
  | { readonly kind: 'takeAway'; readonly page: PageIndex }
  /** A `page` message takes its data from the copy that `takeAway` made. */
  | { readonly kind: 'send'; readonly message: RegionMessage }
  /** The copy is needed no more. */
  | { readonly kind: 'forget'; readonly page: PageIndex }
  /** Put the data of the message in hand into the file, and wake whoever waits for the page in any local process. */
  | { readonly kind: 'install'; readonly page: PageIndex }
  /** The page is here: put zeros into the file if it has a hole there, and wake the VM. */
  | { readonly kind: 'wake'; readonly page: PageIndex; readonly vm: string };

const PAGE_ACTIONS: ReadonlySet<string> = new Set<PageAction['kind']>([
  'takeAway',
  'send',
  'forget',
  'install',
  'wake',
]);

/** Whether both sides have this action. */
export function isPageAction(action: { readonly kind: string }): action is PageAction {
  return PAGE_ACTIONS.has(action.kind);
}

export type SourceAction =
  | PageAction
  /**
   * Stop the VM at once and migrate it (R4); then give `vmStopped`. `forGood`: it was stopped by an access before and was
   * continued here; it must not be continued here again.
   */
  | { readonly kind: 'stopVm'; readonly vm: string; readonly forGood: boolean }
  /** Nothing of the region is needed here any more: free its file. */
  | { readonly kind: 'free' };

export type DestinationAction =
  | PageAction
  /** Every page is here for good: the region's mappings need not be watched any more. */
  | { readonly kind: 'unwatch' };

/** Where a step puts what is to be done. */
export interface ActionList<Action> {
  push(action: Action): unknown;
}

/** What a step answers. A refusal changes nothing: the peer, or whoever drives the step, broke the protocol. */
export type RegionStep<Action> = { readonly kind: 'stepped'; readonly actions: readonly Action[] } | RegionRefusal;

export interface RegionRefusal {
  readonly kind: 'refused';
  /** What the event broke, as a sentence with its facts. */
  readonly rule: string;
}

export function refuse(rule: string): RegionRefusal {
  return { kind: 'refused', rule };
}
