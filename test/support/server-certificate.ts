/** A certificate of a host's authority that is for servers alone, as makers of web certificates give them. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import {
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  X509Certificate as IssuedCertificate,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { ADDRESS } from './tls-hosts.ts';

const KEY = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const DAY_MS = 86_400_000;

/** @param directory - of a host, whose certificate and key are replaced */
export async function certifyServer(authority: string, directory: string, name: string): Promise<void> {
  const ca = new IssuedCertificate(readFileSync(`${authority}/ca.crt`, 'utf8'));
  const caKey = PemConverter.decodeFirst(readFileSync(`${authority}/ca.key`, 'utf8'));
  const keys = await webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.create(
    {
      subject: `CN=${name}`,
      issuer: ca.subject,
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
      publicKey: keys.publicKey,
      signingKey: await webcrypto.subtle.importKey('pkcs8', caKey, KEY, false, ['sign']),
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
      extensions: [
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        new SubjectAlternativeNameExtension([
          { type: 'dns', value: name },
          { type: 'ip', value: ADDRESS },
        ]),
      ],
    },
    webcrypto,
  );
  writeFileSync(`${directory}/tls.crt`, certificate.toString('pem'));
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  writeFileSync(`${directory}/tls.key`, PemConverter.encode(key, 'PRIVATE KEY'));
}
