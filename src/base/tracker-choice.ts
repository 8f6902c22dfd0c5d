/**
 * How the pages that a VM writes are found, as it is asked for: `kernel`, `groups`, `groups:64`, `groups:auto`.
 *
 * Owns: the words and their bounds.
 */

/** Pages that one write fault makes writable; `auto` follows the number of pages that have to be sent again. */
export type GroupSetting = number | 'auto';

export type TrackerChoice = { readonly kind: 'kernel' } | { readonly kind: 'groups'; readonly pages: GroupSetting };

/** 16 MiB: where a fault brings more than a round of a slow link sends, size is no help any more. */
export const MAX_GROUP_PAGES = 4096;

export const TRACKER_FORMS = 'kernel, groups, groups:auto, or groups:N with 1 to 4096 pages';

/** undefined: it is none of the words. */
export function parseTracker(text: string): TrackerChoice | undefined {
  if (text === 'kernel') return { kind: 'kernel' };
  if (text === 'groups' || text === 'groups:auto') return { kind: 'groups', pages: 'auto' };
  const pages = Number(/^groups:([1-9]\d{0,3})$/.exec(text)?.[1]);
  return pages <= MAX_GROUP_PAGES ? { kind: 'groups', pages } : undefined;
}
