/**
 * Why a TLS connection does not come about, in godwit's words.
 *
 * Owns: which certificate is whose, and the codes. Must hold: what OpenSSL says is told apart by its code, never by its text;
 * what nobody has foreseen is told with that code.
 */
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { type ErrorDetails, GodwitError } from '../base/errors.ts';
import { namesIn } from './tls-directory.ts';

/** Who looks at whose certificate. */
export interface Parties {
  readonly by: string;
  readonly peer: string;
}

/** Of OpenSSL's X509_V_ERR_…: the chain ends at nobody whom this host knows. */
const OTHER_CA: ReadonlySet<string> = new Set([
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** What comes is no TLS. */
const NO_TLS: ReadonlySet<string> = new Set([
  'ERR_SSL_HTTP_REQUEST',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'ERR_SSL_WRONG_VERSION_NUMBER',
]);

/** @param certificate - as far as it is known */
export function certificateRefusal(
  reason: string,
  { by, peer }: Parties,
  certificate: Partial<PeerCertificate> | undefined,
): GodwitError {
  const details: ErrorDetails = { by, peer };
  if (OTHER_CA.has(reason)) return new GodwitError('GW_TLS_OTHER_CA', details);
  if (reason === 'CERT_HAS_EXPIRED') {
    return new GodwitError('GW_TLS_EXPIRED', { ...details, notAfter: certificate?.valid_to ?? 'some time ago' });
  }
  if (reason === 'CERT_NOT_YET_VALID') {
    return new GodwitError('GW_TLS_NOT_YET_VALID', { ...details, notBefore: certificate?.valid_from ?? 'later' });
  }
  return new GodwitError('GW_TLS_FAILED', { peer, reason });
}

/** Of what a handshake at this side failed with. */
export function handshakeFailure(error: Error, parties: Parties, certificate?: Partial<PeerCertificate>): GodwitError {
  if (error instanceof GodwitError) return error;
  const code = (error as NodeJS.ErrnoException).code ?? error.message;
  const { peer } = parties;
  if (NO_TLS.has(code)) return new GodwitError('GW_TLS_NOT_SPOKEN', { peer });
  return certificateRefusal(code, parties, certificate);
}

/**
 * Whether the certificate is for the host that was to be reached.
 * @param wanted - one of these names or addresses
 */
export function nameRefusal(
  wanted: readonly string[],
  certificate: PeerCertificate,
  { by, peer }: Parties,
): GodwitError | undefined {
  if (wanted.some((name) => checkServerIdentity(name, certificate) === undefined)) return undefined;
  const names = namesIn(certificate.subjectaltname).join(', ') || 'nobody';
  return new GodwitError('GW_TLS_WRONG_NAME', { by, peer, names, wanted: wanted.join(' or ') });
}

/**
 * Whether a host with this certificate may bring VMs.
 * @param allowed - these names and no others: a certificate for `*.example` does not stand for all of them, nor its common name for
 *   a name; undefined: every one of this CA may
 */
export function allowanceRefusal(
  allowed: readonly string[] | undefined,
  certificate: PeerCertificate,
  { by, peer }: Parties,
): GodwitError | undefined {
  if (allowed === undefined) return undefined;
  const names = namesIn(certificate.subjectaltname);
  const exact = new Set(allowed.map((name) => name.toLowerCase()));
  if (names.some((name) => exact.has(name.toLowerCase()))) return undefined;
  return new GodwitError('GW_TLS_NOT_ALLOWED', { by, peer, names: names.join(', ') || 'nobody' });
}
