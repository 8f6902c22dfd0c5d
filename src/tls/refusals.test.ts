import type { PeerCertificate } from 'node:tls';
import { expect, test } from 'vitest';
import { fixOf } from '../base/errors.ts';
import { allowanceRefusal, certificateRefusal, handshakeFailure, nameRefusal } from './refusals.ts';
import { namesIn } from './tls-directory.ts';

const PARTIES = { by: 'a', peer: '10.0.0.2:7710' };
const CERTIFICATE = {
  subject: { CN: 'b' },
  subjectaltname: 'DNS:b, IP Address:10.0.0.2',
  valid_from: 'Jan  1 00:00:00 2026 GMT',
  valid_to: 'Jan  1 00:00:00 2027 GMT',
} as PeerCertificate;

const REASONS = [
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'GW_TLS_OTHER_CA', 'is of no CA that host a trusts'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'GW_TLS_OTHER_CA', 'is of no CA that host a trusts'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'GW_TLS_OTHER_CA', 'is of no CA that host a trusts'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'GW_TLS_OTHER_CA', 'is of no CA that host a trusts'],
  ['CERT_SIGNATURE_FAILURE', 'GW_TLS_OTHER_CA', 'is of no CA that host a trusts'],
  ['CERT_HAS_EXPIRED', 'GW_TLS_EXPIRED', 'has expired (Jan  1 00:00:00 2027 GMT), as host a sees it'],
  [
    'CERT_NOT_YET_VALID',
    'GW_TLS_NOT_YET_VALID',
    'is not valid yet (it will be from Jan  1 00:00:00 2026 GMT), as host a sees it',
  ],
] as const;

test.each(REASONS)('%s is told as %s, with the fix', (reason, code, says) => {
  const error = certificateRefusal(reason, PARTIES, CERTIFICATE);
  expect(error.code).toBe(code);
  expect(error.message).toBe(`The certificate of 10.0.0.2:7710 ${says}`);
  expect(fixOf(error)).toBeTypeOf('string');
});

test('what nobody has foreseen keeps the code of OpenSSL', () => {
  expect(certificateRefusal('INVALID_PURPOSE', PARTIES, CERTIFICATE)).toMatchObject({
    code: 'GW_TLS_FAILED',
    message: 'TLS with 10.0.0.2:7710 did not come about: INVALID_PURPOSE',
  });
});

test('something that is no TLS is told apart from what fails in it', () => {
  const withCode = (code: string): Error => Object.assign(new Error('…'), { code });
  expect(handshakeFailure(withCode('ERR_SSL_WRONG_VERSION_NUMBER'), PARTIES).code).toBe('GW_TLS_NOT_SPOKEN');
  expect(handshakeFailure(withCode('ECONNRESET'), PARTIES)).toMatchObject({
    code: 'GW_TLS_FAILED',
    details: { reason: 'ECONNRESET' },
  });
});

const NAMES = [
  { wanted: ['b'], fits: true },
  { wanted: ['10.0.0.2'], fits: true },
  { wanted: ['c', 'b'], fits: true },
  { wanted: ['c'], fits: false },
  { wanted: ['10.0.0.3'], fits: false },
  // An address is not a name that begins like it.
  { wanted: ['b.example'], fits: false },
];

test.each(NAMES)('a certificate for b and 10.0.0.2 where one for $wanted is wanted', ({ wanted, fits }) => {
  expect(nameRefusal(wanted, CERTIFICATE, PARTIES)?.code).toBe(fits ? undefined : 'GW_TLS_WRONG_NAME');
});

test('who may send is told by the names in the certificate', () => {
  expect(allowanceRefusal(undefined, CERTIFICATE, PARTIES)).toBeUndefined();
  expect(allowanceRefusal(['x', 'b'], CERTIFICATE, PARTIES)).toBeUndefined();
  expect(allowanceRefusal([], CERTIFICATE, PARTIES)?.code).toBe('GW_TLS_NOT_ALLOWED');
  expect(allowanceRefusal(['x'], CERTIFICATE, PARTIES)).toMatchObject({
    message: 'Host a takes no VMs from b, 10.0.0.2 (10.0.0.2:7710): its tlsAllow names others',
  });
});

const NO_NAMES = [
  ['a wildcard', { subjectaltname: 'DNS:*.example' }, 'b.example'],
  ['a common name', { subject: { CN: 'b' }, subjectaltname: '' }, 'b'],
  ['a name that holds others', { subjectaltname: 'DNS:"x, DNS:b, DNS:y"' }, 'b'],
] as const;

test.each(NO_NAMES)('%s is no name of a host that may send', (_what, shown, name) => {
  const certificate = { ...CERTIFICATE, ...shown } as unknown as PeerCertificate;
  expect(allowanceRefusal([name], certificate, PARTIES)?.code).toBe('GW_TLS_NOT_ALLOWED');
});

test('names differ in more than their case', () => {
  expect(allowanceRefusal(['B'], CERTIFICATE, PARTIES)).toBeUndefined();
});

test('names are read as Node prints them', () => {
  expect(namesIn('IP Address:10.0.0.1, DNS:a, DNS:b')).toEqual(['a', 'b', '10.0.0.1']);
  expect(namesIn(undefined)).toEqual([]);
});
