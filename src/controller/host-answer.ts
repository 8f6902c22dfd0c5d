/**
 * What one host answers when it is asked how it is.
 *
 * Must hold: a host that is silent, one that refuses, and one that is not the host that was meant are told apart, each with what to do
 * and whether waiting may help.
 */
import { explain, GodwitError, hasCode } from '../base/errors.ts';
import type { GodwitClient } from '../client/godwit-client.ts';
import type { Answer } from './fleet-picture.ts';
import type { HeldSamples } from './held-samples.ts';
import { isDenied } from './host-patience.ts';

/** @param samples - that the host has told; null: what is in VMs is not asked for */
export async function answerOf(
  name: string,
  client: GodwitClient,
  samples: HeldSamples | null,
  withinMs: number,
): Promise<Answer> {
  const signal = AbortSignal.timeout(withinMs);
  const askedAtMs = Date.now();
  try {
    const told = await client.outlook({ isBrief: samples === null, contentsAfter: samples?.cursor, signal });
    if (told.host !== name) return refuseOther(name, told.host, client.url);
    return { name, outlook: samples?.complete(told) ?? told, askedAtMs };
  } catch (error) {
    const silent = { name, isRefusal: false, isFinal: false };
    if (signal.aborted) return { ...silent, failure: `it has not answered within ${withinMs / 1000} s` };
    if (hasCode(error, 'GW_API_UNREACHABLE')) return { ...silent, failure: explain(error) };
    // A proxy's 502 passes.
    return { name, failure: withFix(name, error), isRefusal: true, isFinal: isDenied(error) };
  }
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
