/**
 * Who may call the API.
 *
 * Owns: the bearer token's check and the defence against web pages: a page that a person on this machine looks at can
 * make a browser call a loopback port (by DNS rebinding even read the answer), and this API starts programs.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { GodwitError } from '../base/errors.ts';

export interface AccessPolicy {
  /** null: no token is set. */
  readonly token: string | null;
  /** Whether the request came in by a listener that needs the token. */
  needsToken(request: IncomingMessage): boolean;
}

/** The reason why a request is refused, or undefined. */
export function refuseAccess(policy: AccessPolicy, request: IncomingMessage): GodwitError | undefined {
  if (policy.token !== null && hasToken(request, policy.token)) return undefined;
  const isGiven = request.headers.authorization !== undefined;
  if (policy.needsToken(request) || isGiven) {
    const how = 'give the token of the host by --token-file or GODWIT_TOKEN';
    return new GodwitError('GW_API_UNAUTHORIZED', { fix: isGiven ? `the one that was given is not it: ${how}` : how });
  }
  const host = hostOf(request.headers.host);
  const origin = request.headers.origin;
  const foreign = host !== '' && host !== 'localhost' && isIP(host) === 0;
  // With its port: what another server of this machine shows is a page of another site, too.
  if (foreign || (origin !== undefined && origin.replace(/^https?:\/\//, '') !== request.headers.host)) {
    return new GodwitError('GW_API_UNAUTHORIZED', {
      fix: 'without a token use an IP address or localhost as the host name, and no page of another site',
    });
  }
  return undefined;
}

function hasToken(request: IncomingMessage, token: string): boolean {
  const given = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  return given !== undefined && timingSafeEqual(digest(given), digest(token));
}

// Equal lengths, so that the comparison takes the same time whatever was given.
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function hostOf(value: string | undefined): string {
  return (value ?? '').replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
}
