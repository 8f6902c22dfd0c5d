/**
 * Calls of the API by the browser's own fetch, to the server that the page came from.
 *
 * Must hold: as for every carrier (client/call.ts) what goes wrong is a GodwitError; the token goes nowhere else.
 */

import { GodwitError } from '../../src/base/errors.ts';
import { bodyOf, type Call, type CallCarrier, errorOfAnswer, headersOf, withQuery } from '../../src/client/call.ts';

export class FetchCarrier implements CallCarrier {
  readonly url: string;
  readonly #token: () => string | undefined;

  /** @param base - address of the page: paths of the API are relative to it, also behind a proxy */
  constructor(base: string, token: () => string | undefined) {
    this.url = new URL('.', base).href;
    this.#token = token;
  }

  async json<T>(call: Call): Promise<T> {
    const text = await this.text(call);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  async text(call: Call): Promise<string> {
    const answer = await this.#ask(call);
    return await this.#reach(() => answer.text(), call);
  }

  async *stream(call: Call): AsyncGenerator<Uint8Array> {
    const { body } = await this.#ask(call);
    const reader = body?.getReader();
    if (!reader) return;
    try {
      for (;;) {
        const { done, value } = await this.#reach(() => reader.read(), call);
        if (done) return;
        yield value;
      }
    } finally {
      await reader.cancel().catch((error: unknown) => error);
    }
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }

  async #ask(call: Call): Promise<Response> {
    const url = withQuery(new URL(`.${call.path}`, this.url), call.query);
    const answer = await this.#reach(
      () =>
        fetch(url, {
          method: call.method,
          headers: headersOf(call, this.#token()),
          cache: 'no-store',
          credentials: 'omit',
          redirect: 'error',
          ...bodyOf(call),
          ...(call.signal === undefined ? {} : { signal: call.signal }),
        }),
      call,
    );
    if (answer.ok) return answer;
    throw errorOfAnswer(answer.status, await this.#reach(() => answer.text(), call));
  }

  async #reach<T>(action: () => Promise<T>, call: Call): Promise<T> {
    try {
      return await action();
    } catch (error) {
      const reason = call.signal?.aborted === true ? 'the page gave up' : 'no answer; does the daemon run?';
      throw new GodwitError('GW_API_UNREACHABLE', { url: this.url, reason }, { cause: error });
    }
  }
}
