/**
 * Who may call the API.
 *
 * Owns: who a caller is taken for, and the defence against web pages: a page that a person on this machine looks at can
 * make a browser call a loopback port (by DNS rebinding even read the answer), and this API starts programs. Must hold: a
 * token that is given counts, also where none is needed; whoever has none and needs none may do everything.
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { GodwitError } from '../base/errors.ts';
import type { Right } from './right.ts';

/** Whose token it is, and what it may do. */
export interface TokenHolder {
  readonly name: string;
  readonly rights: readonly Right[];
}

/** Who needs no token. */
export type LocalCaller =
  | { readonly kind: 'loopback' }
  /** The process that has connected, as the kernel knows it. */
  | { readonly kind: 'unix'; readonly uid: number; readonly pid: number };

export type Caller =
  | (TokenHolder & {
      readonly kind: 'token';
      /** Where he has come in; undefined: at an address that needs a token. */
      readonly local: LocalCaller | undefined;
    })
  | LocalCaller;

export interface AccessPolicy {
  /** undefined: it is nobody's. */
  holderOf(token: string): TokenHolder | undefined;
  /** Who calls where the request came in; undefined: that needs a token. */
  localCaller(request: IncomingMessage): LocalCaller | undefined;
  /** Calls back when tokens are others from now on. */
  onChanged(listener: () => void): void;
}

/** @throws GW_API_UNAUTHORIZED */
export function authenticate(policy: AccessPolicy, request: IncomingMessage): Caller {
  const { authorization } = request.headers;
  const given = /^Bearer (.+)$/i.exec(authorization ?? '')?.[1];
  const holder = given === undefined ? undefined : policy.holderOf(given);
  const caller = policy.localCaller(request);
  if (holder) return { kind: 'token', ...holder, local: caller };
  if (caller === undefined || authorization !== undefined) {
    const how = 'give a token of this address by --token-file or GODWIT_TOKEN';
    throw unauthorized(authorization === undefined ? how : `the one that was given is not it: ${how}`);
  }
  refusePages(request);
  return caller;
}

/** @throws GW_API_FORBIDDEN @param what - such as `POST /v1/vms` */
export function refuseWithout(needed: readonly Right[], caller: Caller, what: string): void {
  if (caller.kind !== 'token') return;
  const missing = needed.filter((right) => !caller.rights.includes(right));
  if (missing.length === 0) return;
  const right = missing.join(', ');
  const fix = `give another token, or add ${right} to the rights of ${caller.name} in the tokensFile there`;
  throw new GodwitError('GW_API_FORBIDDEN', { token: caller.name, right, what, fix });
}

function refusePages({ headers }: IncomingMessage): void {
  const host = hostOf(headers.host);
  const { origin } = headers;
  const foreign = host !== '' && host !== 'localhost' && isIP(host) === 0;
  // With its port: what another server of this machine shows is a page of another site, too.
  if (foreign || (origin !== undefined && origin.replace(/^https?:\/\//, '') !== headers.host)) {
    throw unauthorized('without a token use an IP address or localhost as the host name, and no page of another site');
  }
}

function unauthorized(fix: string): GodwitError {
  return new GodwitError('GW_API_UNAUTHORIZED', { fix });
}

function hostOf(value: string | undefined): string {
  return (value ?? '').replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
}
