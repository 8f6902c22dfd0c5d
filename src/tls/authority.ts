/**
 * A certificate authority for the hosts of one fleet, in a directory (`godwit tls`).
 *
 * Owns: that directory: `ca.crt` and `ca.key`, and one directory a host with what is to be copied to it (tls-directory.ts). Must hold:
 * private keys are readable by their owner alone from their first byte on, and every file is whole or as it was before; nobody else
 * can put a file of his in a key's place; the key of the authority is never copied into a host's directory, so that whoever takes a host cannot make certificates.
 */
// The library below needs it before it is loaded.
import 'reflect-metadata';
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  X509Certificate as IssuedCertificate,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { GodwitError } from '../base/errors.ts';
import { CA_FILE, CERTIFICATE_FILE, type CertificateFacts, factsOf, KEY_FILE, namesIn } from './tls-directory.ts';

export const CA_KEY_FILE = 'ca.key';

/** P-256 with SHA-256: what every TLS 1.3 has, and cheap (RFC 8446, section 9.1). */
const KEY = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
/** The clocks of two hosts are not quite the same. */
const EARLIER_MS = 3_600_000;
const CA_DAYS = 3650;
/** RFC 5280, section 4.1.2.2: at most 20 bytes, positive. */
const SERIAL_BYTES = 16;
/** Write permissions of group and others (inode(7)). */
const BY_OTHERS = 0o022;

export const DEFAULT_HOST_DAYS = 365;

/** Whom a certificate is for. */
export interface CertifiedHost {
  /** Also the name of its directory. */
  readonly name: string;
  /** Further names and IP addresses that it is reached at. */
  readonly addresses: readonly string[];
}

export interface Validity {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface IssuedHost {
  readonly name: string;
  /** With what is to be copied to the host. */
  readonly directory: string;
  readonly certificate: CertificateFacts;
  /** It had one before. */
  readonly isRenewed: boolean;
}

/** Of so many days from now on. */
export function validityOf(days: number, nowMs: number = Date.now()): Validity {
  return { fromMs: nowMs - EARLIER_MS, toMs: nowMs + days * DAY_MS };
}

/** Makes the authority. @throws GW_INPUT_INVALID where there is one already */
export async function createAuthority(directory: string): Promise<void> {
  const keyPath = join(directory, CA_KEY_FILE);
  if (existsSync(keyPath)) {
    const fix = 'there is a CA already: add or renew hosts with `godwit tls host`, or give another directory';
    throw new GodwitError('GW_INPUT_INVALID', { field: 'DIR', value: directory, fix });
  }
  makeDirectory(directory);
  const keys = await webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify']);
  const { fromMs, toMs } = validityOf(CA_DAYS);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      // Two authorities of one name could not be told apart in a bundle of both.
      name: `CN=godwit CA ${randomBytes(4).toString('hex')}`,
      serialNumber: newSerial(),
      ...{ notBefore: new Date(fromMs), notAfter: new Date(toMs) },
      ...{ keys, signingAlgorithm: SIGNATURE },
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    webcrypto,
  );
  await writeKey(keyPath, keys.privateKey);
  replaceFile(join(directory, CA_FILE), certificate.toString('pem'), 0o644);
}

/**
 * Makes a host's certificate and key, or new ones.
 *
 * @param host - without addresses it keeps those that its certificate had
 * @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID
 */
export async function certifyHost(directory: string, host: CertifiedHost, validity: Validity): Promise<IssuedHost> {
  const authority = await openAuthority(directory);
  refuseWritable(directory);
  const place = join(directory, host.name);
  const certificatePath = join(place, CERTIFICATE_FILE);
  const isRenewed = existsSync(certificatePath);
  const earlier = isRenewed ? namesIn(new X509Certificate(readFileSync(certificatePath)).subjectAltName) : [];
  const names = [...new Set([host.name, ...(host.addresses.length > 0 ? host.addresses : earlier)])];
  const keys = await webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.create(
    {
      subject: `CN=${host.name}`,
      issuer: authority.certificate.subject,
      serialNumber: newSerial(),
      ...{ notBefore: new Date(validity.fromMs), notAfter: new Date(validity.toMs) },
      ...{ publicKey: keys.publicKey, signingKey: authority.key, signingAlgorithm: SIGNATURE },
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        // A host dials, and is dialled.
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
        new SubjectAlternativeNameExtension(names.map(asGeneralName)),
        await AuthorityKeyIdentifierExtension.create(authority.certificate.publicKey),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    webcrypto,
  );
  makeDirectory(place);
  await writeKey(join(place, KEY_FILE), keys.privateKey);
  const pem = certificate.toString('pem');
  replaceFile(certificatePath, pem, 0o644);
  replaceFile(join(place, CA_FILE), authority.certificate.toString('pem'), 0o644);
  return { name: host.name, directory: place, certificate: factsOf(new X509Certificate(pem)), isRenewed };
}

async function openAuthority(directory: string): Promise<{ certificate: IssuedCertificate; key: webcrypto.CryptoKey }> {
  const [certificate, key] = [CA_FILE, CA_KEY_FILE].map((name) => readPem(join(directory, name))) as [string, string];
  try {
    const der = PemConverter.decodeFirst(key);
    return {
      certificate: new IssuedCertificate(certificate),
      key: await webcrypto.subtle.importKey('pkcs8', der, KEY, false, ['sign']),
    };
  } catch (cause) {
    const fix = 'its ca.crt and ca.key are not those that `godwit tls init` has made';
    throw new GodwitError('GW_INPUT_INVALID', { field: 'DIR', value: directory, fix }, { cause });
  }
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new GodwitError('GW_INPUT_UNREADABLE', { path, reason }, { cause });
  }
}

function asGeneralName(value: string): JsonGeneralName {
  return { type: isIP(value) === 0 ? 'dns' : 'ip', value };
}

/** In hexadecimal; the first bit is 0, so that it is positive, and some other is 1. */
function newSerial(): string {
  const serial = randomBytes(SERIAL_BYTES);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  return serial.toString('hex');
}

async function writeKey(path: string, key: webcrypto.CryptoKey): Promise<void> {
  const pem = PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
  replaceFile(path, pem, 0o600);
}

function makeDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  refuseWritable(directory);
}

/** Who can write there can take a key's place. */
function refuseWritable(directory: string): void {
  if ((statSync(directory).mode & BY_OTHERS) === 0) return;
  const fix = `others can write there, and keys of theirs would pass for the CA's: chmod go-w ${directory}, or give another directory`;
  throw new GodwitError('GW_INPUT_INVALID', { field: 'DIR', value: directory, fix });
}

/** Whoever reads meanwhile has the old one or the new one, whole, also after a loss of power. */
function replaceFile(path: string, text: string, mode: number): void {
  const beside = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    writeDurably(beside, `${text.trimEnd()}\n`, mode);
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

function writeDurably(path: string, text: string, mode: number): void {
  const fd = openSync(path, 'wx', mode);
  try {
    // The umask may have taken some of it.
    fchmodSync(fd, mode);
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
