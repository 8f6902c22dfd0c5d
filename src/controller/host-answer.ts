/**
 * What one host answers when it is asked how it is.
 *
 * Must hold: a host that is silent, one that refuses, and one that is not the host that was meant are told apart, each with what to do
 * and whether waiting may help; one that only takes long to tell what is in its VMs is heard all the same, without it.
 */
import type { OutlookView } from '../api/outlook-schema.ts';
import { explain, GodwitError, hasCode } from '../base/errors.ts';
import type { GodwitClient } from '../client/godwit-client.ts';
import type { Answer } from './fleet-picture.ts';
import type { HeldSamples } from './held-samples.ts';
import { isDenied } from './host-patience.ts';

/** Of the time for an answer: what is in VMs is told by then, or later. The rest is for an answer without it. */
const CONTENTS_PART = 0.7;

interface Pieces {
  readonly outlook: OutlookView;
  /** Some of what is in VMs is yet to come. */
  readonly isPartial: boolean;
}

/** @param samples - that the host has told; null: what is in VMs is not asked for */
export async function answerOf(
  name: string,
  client: GodwitClient,
  samples: HeldSamples | null,
  withinMs: number,
): Promise<Answer> {
  const late = AbortSignal.timeout(withinMs);
  const askedAtMs = Date.now();
  try {
    const told = samples && (await askAll(name, client, samples, withinMs * CONTENTS_PART));
    const { outlook, isPartial } = told ?? (await askBriefly(client, samples, late));
    if (outlook.host !== name) return refuseOther(name, outlook.host, client.url);
    return { name, outlook, askedAtMs, ...(isPartial ? { isPartial } : {}) };
  } catch (error) {
    const silent = { name, isRefusal: false, isFinal: false };
    if (late.aborted) return { ...silent, failure: `it has not answered within ${withinMs / 1000} s` };
    if (hasCode(error, 'GW_API_UNREACHABLE')) return { ...silent, failure: explain(error) };
    // A proxy's 502 passes.
    return { name, failure: withFix(name, error), isRefusal: true, isFinal: isDenied(error) };
  }
}

/** Piece by piece, as many as come in time; null: none did. */
async function askAll(
  name: string,
  client: GodwitClient,
  samples: HeldSamples,
  withinMs: number,
): Promise<Pieces | null> {
  const signal = AbortSignal.timeout(withinMs);
  let outlook: OutlookView | null = null;
  try {
    do {
      const told = await client.outlook({ ...samples.question, signal });
      // Nothing of another host's is kept.
      outlook = told.host === name ? samples.complete(told) : told;
    } while (outlook.host === name && outlook.contentsLeft === true);
  } catch (error) {
    if (!signal.aborted) throw error;
    samples.wasLate();
    return outlook && { outlook, isPartial: true };
  }
  return { outlook, isPartial: false };
}

async function askBriefly(client: GodwitClient, samples: HeldSamples | null, signal: AbortSignal): Promise<Pieces> {
  const told = await client.outlook({ isBrief: true, signal });
  return samples ? { outlook: samples.fill(told), isPartial: true } : { outlook: told, isPartial: false };
}

function withFix(host: string, error: unknown): string {
  if (!hasCode(error, 'GW_API_UNAUTHORIZED')) return explain(error);
  return `its API does not take the token: put the token of ${host} into a file, and the file's path into hosts.${host}.tokenFile of the fleet file`;
}

/** What is at the address of one host must not be taken for another: VMs would be sought and sent where they are not. */
function refuseOther(name: string, other: string, value: string): Answer {
  const fix = `host ${other} answers there: give its name, or the address of ${name}`;
  const error = new GodwitError('GW_INPUT_INVALID', { field: `hosts.${name}.api`, value, fix });
  return { name, failure: explain(error), isRefusal: true, isFinal: true };
}
