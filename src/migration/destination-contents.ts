/**
 * Telling the source what need not be sent, and having it at hand when it is named.
 *
 * Must hold: what goes wrong here only makes the migration a larger one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { asGodwitError } from '../base/errors.ts';
import { encodeHeldFilter } from '../wire/held-filter.ts';
import type { HeldInput } from './destination-facts.ts';
import type { DestinationParts } from './destination-parts.ts';
import { openHeldContents } from './held-contents.ts';

/** Gigabytes take seconds to be listed; nobody waits for that: what is told later is made use of later. */
const PATIENCE_MS = 300;

/**
 * Resolves when it is told, or when that takes long.
 * @param held - undefined: nothing is held
 */
export async function offerContents(parts: DestinationParts, held: HeldInput | undefined): Promise<void> {
  if (!held) return;
  const over = new AbortController();
  const late = delay(PATIENCE_MS, undefined, { signal: over.signal }).catch(() => undefined);
  await Promise.race([tell(parts, held), late]);
  over.abort();
}

async function tell(parts: DestinationParts, held: HeldInput): Promise<void> {
  const { arrivals, facts, life, link, note } = parts;
  const { vm } = facts.offer;
  try {
    const newcomer = { uuid: vm.uuid ?? '', vmKey: vm.facts['contentKey'], features: held.features };
    const contents = await openHeldContents(newcomer, held.policy, note);
    if (!contents) return;
    const dispose = (): void => contents[Symbol.dispose]();
    if (life.signal.aborted) {
      dispose();
      return;
    }
    life.signal.addEventListener('abort', dispose);
    arrivals.hold(contents.store.share());
    link.sendFrames(encodeHeldFilter(contents.scope, contents.store.filter.bytes));
  } catch (error) {
    note(`What this host holds is not made use of: ${asGodwitError(error).message}`);
  }
}
