/**
 * Telling the source what need not be sent, and having it at hand when it is named.
 *
 * Must hold: what goes wrong here only makes the migration a larger one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { asGodwitError } from '../base/errors.ts';
import { migrationName } from '../transfer/sent-contents.ts';
import { encodeHeldFilter } from '../wire/held-filter.ts';
import type { Arrivals } from './arrivals.ts';
import { announceArrival } from './arrived-memories.ts';
import type { DestinationFacts, HeldInput } from './destination-facts.ts';
import type { DestinationGuest } from './destination-guest.ts';
import type { DestinationLink } from './destination-link.ts';
import type { DestinationParts } from './destination-parts.ts';
import { fleetFeature, parseKey } from './fingerprint-keys.ts';
import { DUPLICATES_ELSEWHERE_FEATURE, openHeldContents } from './held-contents.ts';
import { EARLY_PAGES_FEATURE } from './opening.ts';

/** The source may name pages of other VMs that come here, where both hosts are of one fleet. */
export function shareContents(
  { arrivals, facts, note }: DestinationParts,
  held: HeldInput,
  guest: DestinationGuest,
): void {
  const { fleetKey, arrivedDirectory: directory } = held.policy;
  const key = parseKey(fleetKey);
  const { features } = held;
  if (!key || !features.includes(fleetFeature(fleetKey!)) || !features.includes(DUPLICATES_ELSEWHERE_FEATURE)) return;
  arrivals.share({ directory, key });
  try {
    announceArrival(directory, migrationName(facts.offer.migrationId), guest.identity, guest.regions);
  } catch (error) {
    note(`What comes with this VM is not made use of for others: ${asGodwitError(error).message}`);
  }
}

/** What of a migration is needed to tell what is held. */
export interface ContentsPort {
  readonly facts: { readonly offer: { readonly vm: Pick<DestinationFacts['offer']['vm'], 'uuid' | 'facts'> } };
  readonly arrivals: Pick<Arrivals, 'hold'>;
  readonly life: AbortController;
  readonly link: Pick<DestinationLink, 'send' | 'sendFrames'>;
  note(text: string): void;
}

/**
 * Gigabytes take seconds to be listed; nobody waits for that: what is told later is made use of later. On a busy host small
 * contents take half a second, in which a fast link would have carried all of them.
 */
const PATIENCE_MS = 1500;
const RELEASE_EVERY_MS = 2000;

/**
 * Resolves when it is told, or when that takes long.
 * @param held - undefined: nothing is held
 * @param mayBegin - asked when it is told: whether the source may send pages from then on (before, it would send what need
 *   not be sent), and has not heard `ready`, which says so as well
 */
export async function offerContents(
  parts: ContentsPort,
  held: HeldInput | undefined,
  mayBegin: () => boolean,
): Promise<void> {
  if (!held) return;
  const over = new AbortController();
  const wanted = AbortSignal.any([over.signal, parts.life.signal]);
  const late = delay(PATIENCE_MS, undefined, { signal: wanted }).catch(() => undefined);
  const told = tell(parts, held).then(() => {
    if (mayBegin() && held.features.includes(EARLY_PAGES_FEATURE)) parts.link.send({ kind: 'begin' });
  });
  await Promise.race([told, late]);
  over.abort();
}

async function tell(parts: ContentsPort, held: HeldInput): Promise<void> {
  const { arrivals, facts, life, link, note } = parts;
  const { vm } = facts.offer;
  try {
    const newcomer = { uuid: vm.uuid ?? '', vmKey: vm.facts['contentKey'], features: held.features };
    const contents = await openHeldContents(newcomer, held.policy, note);
    if (!contents) return;
    if (life.signal.aborted) {
      contents[Symbol.dispose]();
      return;
    }
    // A migration can last for days, and a VM that is killed meanwhile is to give its memory back.
    const looking = setInterval(() => contents.store.releaseEnded(), RELEASE_EVERY_MS);
    life.signal.addEventListener('abort', () => {
      clearInterval(looking);
      contents[Symbol.dispose]();
    });
    arrivals.hold(contents.store.share());
    link.sendFrames(encodeHeldFilter(contents.scope, contents.store.filter.bytes));
  } catch (error) {
    note(`What this host holds is not made use of: ${asGodwitError(error).message}`);
  }
}
