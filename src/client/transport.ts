/**
 * HTTP to a host daemon, over TCP or a unix socket.
 *
 * Must hold: whatever goes wrong is a GodwitError: the host's own, or GW_API_UNREACHABLE with the address and the
 * reason. A request that changes something is sent once, on a connection of its own, because one that was left open may
 * be closed by the host just then; one that only reads is sent once more when that happens.
 */
import type { Agent, Dispatcher, request } from 'undici';
import type { HostCall, HostReply } from '../api/fleet-service.ts';
import { CLIENT_IDLE_MS } from '../api/keep-alive.ts';
import { GodwitError } from '../base/errors.ts';
import { bodyOf, type Call, type CallCarrier, errorOfAnswer, headersOf, withQuery } from './call.ts';

const CONNECT_TIMEOUT_MS = 5000;

export interface TransportOptions {
  /** `http://HOST:PORT`, `https://…` or `unix:/path`. */
  readonly url: string;
  readonly token?: string;
  /** What stands before each path, such as `/v1/hosts/a/api` of a controller. */
  readonly prefix?: string;
}

interface Http {
  readonly request: typeof request;
  /** Leaves connections open for the next request. */
  readonly reusing: Agent;
  /** A connection for each request. */
  readonly fresh: Agent;
}

type RequestWords = Pick<
  Dispatcher.RequestOptions<null>,
  'method' | 'headers' | 'body' | 'signal' | 'headersTimeout' | 'bodyTimeout'
>;

export class Transport implements CallCarrier {
  readonly url: string;
  readonly #base: string;
  readonly #prefix: string;
  readonly #settings: Agent.Options;
  /** Loaded by the first request: the library takes 7 MB, and a daemon, which has the commands' modules, sends none. */
  #http: Promise<Http> | undefined;
  readonly #token: string | undefined;

  constructor(options: TransportOptions) {
    this.url = options.url;
    this.#token = options.token;
    this.#prefix = options.prefix ?? '';
    const unix = /^unix:(?:\/\/)?(\/.+)$/.exec(options.url)?.[1];
    this.#base = unix === undefined ? checkUrl(options.url) : 'http://localhost';
    this.#settings = {
      connect: { timeout: CONNECT_TIMEOUT_MS, ...(unix === undefined ? {} : { socketPath: unix }) },
      // An answer may take as long as a migration; the caller's signal is what ends the waiting.
      headersTimeout: 0,
      bodyTimeout: 0,
    };
  }

  /** The answer, once it is known to be a success. */
  async send(call: Call): Promise<Dispatcher.ResponseData> {
    const answer = await this.#reach(() => this.#ask(withQuery(this.#urlOf(call.path), call.query), call));
    if (answer.statusCode < 400) return answer;
    throw errorOfAnswer(answer.statusCode, await this.#reach(() => answer.body.text()));
  }

  /** The answer, whatever it is. */
  async pass({ method, path, body, lastEventId, signal }: HostCall): Promise<HostReply> {
    const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    const answer = await this.#reach(() => this.#ask(this.#urlOf(path), { method, path, body, headers, signal }));
    const type = answer.headers['content-type'];
    return { status: answer.statusCode, contentType: typeof type === 'string' ? type : undefined, body: answer.body };
  }

  async json<T>(call: Call): Promise<T> {
    const text = await this.text(call);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  async text(call: Call): Promise<string> {
    const answer = await this.send(call);
    return await this.#reach(() => answer.body.text());
  }

  async *stream(call: Call): AsyncGenerator<Uint8Array> {
    try {
      const answer = await this.send(call);
      for await (const chunk of answer.body) yield chunk as Uint8Array;
    } catch (error) {
      if (call.signal?.aborted !== true) throw this.#unreachable(error);
    }
  }

  async close(): Promise<void> {
    if (this.#http === undefined) return;
    const { reusing, fresh } = await this.#http;
    await Promise.all([reusing.destroy(), fresh.destroy()]);
  }

  #urlOf(path: string): URL {
    return new URL(`${this.#prefix}${path}`, this.#base);
  }

  async #ask(url: URL, call: Call): Promise<Dispatcher.ResponseData> {
    this.#http ??= this.#load();
    const http = await this.#http;
    const ask = (dispatcher: Agent): Promise<Dispatcher.ResponseData> => {
      return http.request(url, { dispatcher, ...this.#wordsOf(call) });
    };
    if (call.method !== 'GET') return await ask(http.fresh);
    try {
      return await ask(http.reusing);
    } catch (error) {
      if (!CLOSED.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
      return await ask(http.fresh);
    }
  }

  async #load(): Promise<Http> {
    const { Agent, request } = await import('undici');
    const idle = { keepAliveTimeout: CLIENT_IDLE_MS, keepAliveMaxTimeout: CLIENT_IDLE_MS };
    const reusing = new Agent({ ...this.#settings, ...idle });
    return { request, reusing, fresh: new Agent({ ...this.#settings, pipelining: 0 }) };
  }

  #wordsOf(call: Call): RequestWords {
    const { longestSilenceMs: silence } = call;
    return {
      method: call.method,
      headers: headersOf(call, this.#token),
      ...bodyOf(call),
      ...(call.signal === undefined ? {} : { signal: call.signal }),
      ...(silence === undefined ? {} : { headersTimeout: silence, bodyTimeout: silence }),
    };
  }

  async #reach<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  #unreachable(error: unknown): GodwitError {
    if (error instanceof GodwitError) return error;
    const { code, message, name } = error as NodeJS.ErrnoException;
    const reason = name === 'HTTPParserError' ? NO_HTTP : code === undefined ? message : (REASONS[code] ?? code);
    return new GodwitError('GW_API_UNREACHABLE', { url: this.url, reason });
  }
}

const NO_HTTP = 'what answers there does not speak HTTP (the API port is 7700 by default, that of migrations 7710)';
/** The connection ended before the answer began. */
const CLOSED: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there; start one with `godwit host`, or give --api',
  ENOENT: 'there is no such socket; start a host with `godwit host`, or give --api',
  EACCES: 'no permission to use this socket',
  ENOTFOUND: 'the host name is not known',
  UND_ERR_CONNECT_TIMEOUT: 'no answer',
  UND_ERR_HEADERS_TIMEOUT: 'no answer in time',
  UND_ERR_BODY_TIMEOUT: 'it has fallen silent',
  UND_ERR_SOCKET: 'the connection was closed',
  ECONNRESET: 'the connection was closed',
  EPIPE: 'the connection was closed',
};

function checkUrl(url: string): string {
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url;
  throw new GodwitError('GW_INPUT_INVALID', {
    field: '--api',
    value: url,
    fix: 'give http://HOST:PORT or unix:/path',
  });
}
