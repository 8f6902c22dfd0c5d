/**
 * One request to the API, and what can carry it: undici in Node (transport.ts), fetch in the dashboard (web/).
 *
 * Must hold: whoever carries it throws GodwitErrors only: the host's own, or GW_API_UNREACHABLE with the reason.
 */
import { asGodwitError, GodwitError } from '../base/errors.ts';

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** An answer that begins no sooner, or is silent for longer, is given up. Not kept to by a browser. */
  readonly longestSilenceMs?: number;
}

export interface CallCarrier {
  readonly url: string;
  json<T>(call: Call): Promise<T>;
  text(call: Call): Promise<string>;
  /** The body as it comes. */
  stream(call: Call): AsyncGenerator<Uint8Array>;
  close(): Promise<void>;
}

/** The token and the body's type. */
export function headersOf(call: Call, token: string | undefined): Record<string, string> {
  return {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(hasBody(call) ? { 'content-type': 'application/json' } : {}),
    ...call.headers,
  };
}

/** @returns the same address */
export function withQuery(url: URL, query: Call['query'] = {}): URL {
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  return url;
}

export function bodyOf(call: Call): { readonly body?: string } {
  return hasBody(call) ? { body: JSON.stringify(call.body ?? {}) } : {};
}

/** The error that an answer other than success is. */
export function errorOfAnswer(status: number, text: string): GodwitError {
  try {
    const body = JSON.parse(text) as { code?: unknown; message?: unknown; details?: unknown };
    if (typeof body.code === 'string' && typeof body.message === 'string') {
      return GodwitError.fromBody({ code: body.code, message: body.message, details: body.details });
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) return asGodwitError(error);
  }
  if (status === 401 || status === 403) {
    return new GodwitError('GW_API_UNAUTHORIZED', { fix: `what answers there refuses with HTTP status ${status}` });
  }
  return new GodwitError('GW_INTERNAL', { reason: `the host answered with HTTP status ${status}` });
}

function hasBody({ method }: Call): boolean {
  return method !== 'GET' && method !== 'DELETE';
}
