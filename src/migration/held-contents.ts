/**
 * What a destination holds that the source need not send.
 *
 * Owns: the choice of images for one migration. Must hold: contents of other VMs serve only where both hosts have the
 * fleet's key; otherwise the VM's own earlier visit does, if the source has the key that the VM left with.
 */
import { explain } from '../base/errors.ts';
import { readContentIndex } from '../memory/content-index.ts';
import { MAX_INDEXED_PAGES } from '../memory/content-scan.ts';
import { ContentStore, type HeldImage } from '../memory/content-store.ts';
import { FileImage } from '../memory/file-image.ts';
import { PageFingerprint } from '../memory/page-fingerprint.ts';
import type { FingerprintScope } from '../wire/held-filter.ts';
import { fleetFeature, parseKey } from './fingerprint-keys.ts';
import { listScanned, openScanned } from './live-contents.ts';
import { type Visit, type VisitPolicy, VisitStore } from './visit-store.ts';

/** What this host does with contents. */
export interface ContentPolicy {
  readonly visits: VisitPolicy;
  /** Where it is written down what is in the memory of the VMs here. */
  readonly liveDirectory: string;
  /** Where it is written down which VM came by which migration. */
  readonly arrivedDirectory: string;
  /** Hexadecimal; null: this host is of no fleet. */
  readonly fleetKey: string | null;
  /** What VMs that leave have sent lately (transfer/sent-contents.ts); null where this host is of no fleet. */
  readonly sent: SharedArrayBuffer | null;
}

/** A migration that is taken up after a restart goes on without. */
export const NO_CONTENTS: ContentPolicy = {
  visits: { directory: '', budgetBytes: 0 },
  liveDirectory: '',
  arrivedDirectory: '',
  fleetKey: null,
  sent: null,
};

export interface HeldContents extends Disposable {
  readonly scope: FingerprintScope;
  readonly store: ContentStore;
}

export interface Newcomer {
  readonly uuid: string;
  /** As its source says. */
  readonly vmKey: unknown;
  /** Of the protocol, that both hosts have. */
  readonly features: readonly string[];
}

export const DUPLICATES_FEATURE = 'duplicates';
/** Pages may be named that other VMs bring. */
export const DUPLICATES_ELSEWHERE_FEATURE = 'duplicates-elsewhere';
/** Pages that are missing in a VM that runs may be named, too. */
export const DUPLICATES_MISSING_FEATURE = 'duplicates-missing';

/**
 * undefined: nothing.
 * @param warn - told of an image that cannot be read; the others serve
 * @param roomPages - of all images together; one that does not fit is left out whole
 */
export async function openHeldContents(
  { uuid, vmKey, features }: Newcomer,
  { visits, liveDirectory, fleetKey }: ContentPolicy,
  warn: (text: string) => void,
  roomPages: number = MAX_INDEXED_PAGES,
): Promise<HeldContents | undefined> {
  if (!features.includes(DUPLICATES_FEATURE)) return undefined;
  const isFleet = fleetKey !== null && features.includes(fleetFeature(fleetKey));
  const key = parseKey(isFleet ? fleetKey : vmKey);
  if (!key) return undefined;
  const fingerprint = new PageFingerprint(key);
  let room = roomPages;
  const take = (open: () => HeldImage | undefined): HeldImage[] => {
    try {
      const held = open();
      if (!held) return [];
      if (held.index.pages > room) {
        held.image[Symbol.dispose]();
        return [];
      }
      room -= held.index.pages;
      return [held];
    } catch (error) {
      // What was there a moment ago may have been evicted, or have ended.
      warn(`What this host holds cannot all be read: ${explain(error)}`);
      return [];
    }
  };
  const all = new VisitStore(visits).list();
  const takeVisits = (isOwn: boolean): HeldImage[] =>
    all.filter((each) => (each.uuid === uuid) === isOwn).flatMap((visit) => take(() => openVisit(visit, fingerprint)));
  const own = takeVisits(true);
  // Where there is not room for all, VMs that run go before those that have left: their contents are of now.
  const live = isFleet
    ? listScanned(liveDirectory).flatMap((vm) => take(() => openScanned(liveDirectory, vm, fingerprint)))
    : [];
  const others = isFleet ? takeVisits(false) : [];
  // Of two that have a page the first is taken: files do not change.
  const images = [...own, ...others, ...live];
  if (images.length === 0) return undefined;
  const store = await ContentStore.of(fingerprint, images);
  return { scope: isFleet ? 'fleet' : 'vm', store, [Symbol.dispose]: () => store[Symbol.dispose]() };
}

function openVisit({ indexPath, imagePath }: Visit, fingerprint: PageFingerprint): HeldImage | undefined {
  const index = readContentIndex(indexPath, fingerprint, MAX_INDEXED_PAGES);
  return index && { index, image: new FileImage(imagePath) };
}
