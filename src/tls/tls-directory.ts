/**
 * The files with which a host speaks TLS: what they are called, what is in them.
 *
 * Owns: nothing; the directory is the administrator's. Must hold: what cannot serve is refused with the file and the fix. The
 * names are those of Kubernetes' TLS secrets (cert-manager, too), so that such a directory serves as it is.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { GodwitError } from '../base/errors.ts';

export const CA_FILE = 'ca.crt';
export const CERTIFICATE_FILE = 'tls.crt';
export const KEY_FILE = 'tls.key';
export const TLS_FILES: readonly string[] = [CA_FILE, CERTIFICATE_FILE, KEY_FILE];

/** What is said of a host's certificate. */
export interface CertificateFacts {
  /** Names and addresses that it is for, names first. */
  readonly names: readonly string[];
  /** Unix milliseconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** In PEM. */
export interface TlsMaterial {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
  readonly facts: CertificateFacts;
}

/** @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID */
export function readTlsDirectory(directory: string): TlsMaterial {
  const [ca, certificate, key] = TLS_FILES.map((name) => readPem(join(directory, name))) as [string, string, string];
  parseCertificate(ca, join(directory, CA_FILE));
  const parsed = parseCertificate(certificate, join(directory, CERTIFICATE_FILE));
  if (!isKeyOf(key, parsed, join(directory, KEY_FILE))) {
    const fix = `it is not the key of ${CERTIFICATE_FILE}: copy both files of one certificate`;
    throw new GodwitError('GW_INPUT_INVALID', { field: 'tls', value: join(directory, KEY_FILE), fix });
  }
  refuseUseless(directory, { ca, cert: certificate, key });
  return { ca, certificate, key, facts: factsOf(parsed) };
}

/** Such as keys that OpenSSL finds too short. */
function refuseUseless(directory: string, files: { ca: string; cert: string; key: string }): void {
  try {
    createSecureContext(files);
  } catch (cause) {
    const fix = `OpenSSL does not take these files (${(cause as NodeJS.ErrnoException).code}): make them with \`godwit tls host\``;
    throw new GodwitError('GW_INPUT_INVALID', { field: 'tls', value: directory, fix }, { cause });
  }
}

export function factsOf(certificate: X509Certificate): CertificateFacts {
  return {
    names: namesIn(certificate.subjectAltName),
    notBeforeMs: Date.parse(certificate.validFrom),
    notAfterMs: Date.parse(certificate.validTo),
  };
}

/** What Node quotes: an entry with characters that no name has, such as a comma with which it could pass for several. */
const QUOTED = /"(?:[^"\\]|\\.)*"/g;

/** @param text - as Node prints it, such as `DNS:a, IP Address:10.0.0.1` */
export function namesIn(text: string | undefined): string[] {
  const entries = (text ?? '').replaceAll(QUOTED, '"…"').split(', ');
  const of = (kind: string): string[] =>
    entries.filter((entry) => entry.startsWith(kind)).map((entry) => entry.slice(kind.length));
  return [...of('DNS:'), ...of('IP Address:')];
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new GodwitError('GW_INPUT_UNREADABLE', { path, reason }, { cause });
  }
}

function parseCertificate(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    const fix = 'it holds no certificate in PEM; make one with `godwit tls init` or `godwit tls host`';
    throw new GodwitError('GW_INPUT_INVALID', { field: 'tls', value: path, fix }, { cause });
  }
}

function isKeyOf(pem: string, certificate: X509Certificate, path: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(pem));
  } catch (cause) {
    const fix = 'it holds no private key in PEM without a passphrase';
    throw new GodwitError('GW_INPUT_INVALID', { field: 'tls', value: path, fix }, { cause });
  }
}
