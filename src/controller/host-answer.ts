/**
 * What one host answers when it is asked how it is.
 *
 * Must hold: a host that is silent, one that refuses, and one that is not the host that was meant are told apart, each with what to do.
 */
import type { OutlookView } from '../api/outlook-schema.ts';
import { explain, GodwitError, hasCode } from '../base/errors.ts';
import type { GodwitClient } from '../client/godwit-client.ts';
import type { Answer } from './fleet-picture.ts';

export async function answerOf(
  name: string,
  client: GodwitClient,
  isBrief: boolean,
  withinMs: number,
): Promise<Answer> {
  const signal = AbortSignal.timeout(withinMs);
  try {
    return refuseOther({ name, outlook: await client.outlook({ isBrief, signal }) }, client.url);
  } catch (error) {
    if (signal.aborted) return { name, failure: `it has not answered within ${withinMs / 1000} s`, isRefusal: false };
    if (hasCode(error, 'GW_API_UNREACHABLE')) return { name, failure: explain(error), isRefusal: false };
    return { name, failure: withFix(name, error), isRefusal: true };
  }
}

function withFix(host: string, error: unknown): string {
  if (!hasCode(error, 'GW_API_UNAUTHORIZED')) return explain(error);
  return `its API does not take the token: put the token of ${host} into a file, and the file's path into hosts.${host}.tokenFile of the fleet file`;
}

/** What is at the address of one host must not be taken for another: VMs would be sought and sent where they are not. */
function refuseOther(answer: Extract<Answer, { readonly outlook: OutlookView }>, url: string): Answer {
  if (answer.outlook.host === answer.name) return answer;
  const field = `hosts.${answer.name}.api`;
  const fix = `host ${answer.outlook.host} answers there: give its name, or the address of ${answer.name}`;
  throw new GodwitError('GW_INPUT_INVALID', { field, value: url, fix });
}
