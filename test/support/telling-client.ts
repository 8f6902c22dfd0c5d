/**
 * A client of a test's host whose failures tell whether the daemon has died.
 *
 * Must hold: an error keeps its class and code; only what a dead daemon said is added to its message. To the client a
 * crash looks like any closed connection.
 */
import { hasCode } from '../../src/base/errors.ts';
import { GodwitClient } from '../../src/client/godwit-client.ts';
import type { TestHost } from './godwit-host.ts';

export function openTellingClient(host: TestHost): GodwitClient {
  return new Proxy(new GodwitClient({ url: host.api }), {
    get(client, name) {
      const member: unknown = Reflect.get(client, name, client);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]) => {
        const result: unknown = member.apply(client, args);
        if (result instanceof Promise) return result.catch((error: unknown) => tell(host, error));
        return isAsyncIterable(result) ? tellAtBreak(host, result) : result;
      };
    },
  });
}

async function* tellAtBreak(host: TestHost, items: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  try {
    yield* items;
  } catch (error) {
    await tell(host, error);
  }
}

async function tell(host: TestHost, error: unknown): Promise<never> {
  if (error instanceof Error && hasCode(error, 'GW_API_UNREACHABLE')) {
    const ends = await host.unexpectedEnds();
    if (ends !== '') error.message += `\n${ends}`;
  }
  throw error;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}
