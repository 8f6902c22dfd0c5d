import { X509Certificate } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { probeTls } from '../host/tls-probe.ts';
import { certifyHost, createAuthority, validityOf } from './authority.ts';
import { readTlsDirectory } from './tls-directory.ts';

const DAY_MS = 86_400_000;

let directory: TempDirectory;
let authority: string;
beforeEach(async () => {
  directory = new TempDirectory();
  authority = directory.join('ca');
  await createAuthority(authority);
});
afterEach(() => directory[Symbol.dispose]());

const issue = (name: string, addresses: string[] = [], days = 30) =>
  certifyHost(authority, { name, addresses }, validityOf(days));
const modeOf = (path: string): number => statSync(path).mode & 0o777;
const certificateIn = (place: string): X509Certificate => new X509Certificate(readFileSync(join(place, 'tls.crt')));

test('a host gets what it shows and trusts, and never the key of the authority', async () => {
  const { directory: place, certificate, isRenewed } = await issue('a', ['10.0.0.1', 'fd00::1', 'a.example']);
  expect(readdirSync(place).sort()).toEqual(['ca.crt', 'tls.crt', 'tls.key']);
  expect(isRenewed).toBe(false);
  expect(certificate.names).toEqual(['a', 'a.example', '10.0.0.1', 'FD00:0:0:0:0:0:0:1']);
  const ca = new X509Certificate(readFileSync(join(place, 'ca.crt')));
  const shown = certificateIn(place);
  expect([shown.verify(ca.publicKey), shown.checkIssued(ca), ca.ca, shown.ca]).toEqual([true, true, true, false]);
  expect(shown.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  expect(readFileSync(join(place, 'tls.key'), 'utf8')).not.toBe(readFileSync(join(authority, 'ca.key'), 'utf8'));
});

test('private keys are their owner’s alone', async () => {
  const { directory: place } = await issue('a');
  expect([join(authority, 'ca.key'), join(place, 'tls.key')].map(modeOf)).toEqual([0o600, 0o600]);
  expect([authority, place].map(modeOf)).toEqual([0o700, 0o700]);
});

test('nothing is written where others can put their own in its place', async () => {
  const open = directory.join('open');
  mkdirSync(open);
  chmodSync(open, 0o777);
  await expect(createAuthority(open)).rejects.toMatchObject({
    code: 'GW_INPUT_INVALID',
    details: { field: 'DIR', fix: expect.stringContaining(`chmod go-w ${open}`) },
  });
  expect(readdirSync(open)).toEqual([]);
  chmodSync(authority, 0o770);
  await expect(issue('a')).rejects.toMatchObject({ code: 'GW_INPUT_INVALID', details: { field: 'DIR' } });
});

test('a key is not written through what lies there by another name', async () => {
  const { directory: place } = await issue('a');
  const others = directory.join('others');
  writeFileSync(others, 'theirs');
  symlinkSync(others, join(place, 'tls.key.new'));
  await issue('a');
  expect(readFileSync(others, 'utf8')).toBe('theirs');
  expect(readdirSync(place).sort()).toEqual(['ca.crt', 'tls.crt', 'tls.key', 'tls.key.new']);
});

test('who renews keeps the addresses, and gets another key', async () => {
  const { directory: place } = await issue('a', ['10.0.0.1']);
  const [key, { serialNumber }] = [readFileSync(join(place, 'tls.key'), 'utf8'), certificateIn(place)];
  const renewed = await issue('a');
  expect(renewed).toMatchObject({ isRenewed: true, certificate: { names: ['a', '10.0.0.1'] } });
  expect(readFileSync(join(place, 'tls.key'), 'utf8')).not.toBe(key);
  expect(certificateIn(place).serialNumber).not.toBe(serialNumber);
  expect((await issue('a', ['10.0.0.2'])).certificate.names).toEqual(['a', '10.0.0.2']);
});

test('an authority is not made twice, and hosts need one', async () => {
  await expect(createAuthority(authority)).rejects.toMatchObject({
    code: 'GW_INPUT_INVALID',
    details: { fix: expect.stringContaining('godwit tls host') },
  });
  const nowhere = directory.join('nowhere');
  await expect(certifyHost(nowhere, { name: 'a', addresses: [] }, validityOf(1))).rejects.toMatchObject({
    code: 'GW_INPUT_UNREADABLE',
  });
  writeFileSync(join(authority, 'ca.key'), 'nothing');
  await expect(issue('a')).rejects.toMatchObject({ code: 'GW_INPUT_INVALID' });
});

test('files that cannot serve are named', async () => {
  const [a, b] = [await issue('a'), await issue('b')];
  const refusal = (): unknown => {
    try {
      return readTlsDirectory(a.directory);
    } catch (error) {
      return (error as Error).message;
    }
  };
  writeFileSync(join(a.directory, 'tls.key'), readFileSync(join(b.directory, 'tls.key')));
  expect(refusal()).toBe(
    `tls: ${a.directory}/tls.key is not valid: it is not the key of tls.crt: copy both files of one certificate`,
  );
  writeFileSync(join(a.directory, 'tls.key'), 'x');
  expect(refusal()).toContain('tls.key is not valid: it holds no private key');
  writeFileSync(join(a.directory, 'tls.crt'), 'x');
  expect(refusal()).toContain('tls.crt is not valid: it holds no certificate');
  expect(() => readTlsDirectory(directory.join('none'))).toThrow(/Cannot read .*none\/ca\.crt: ENOENT/);
});

test('the doctor says for whom a certificate is and until when, and what is wrong with it', async () => {
  const { directory: place, certificate } = await issue('a', ['10.0.0.1']);
  const { notAfterMs, notBeforeMs } = certificate;
  const until = new Date(notAfterMs).toISOString().slice(0, 10);
  expect(probeTls(place, Date.now())).toMatchObject({ ok: true, value: `a, 10.0.0.1, valid until ${until} (29 days)` });
  expect(probeTls(place, notAfterMs - 14.5 * DAY_MS)).toMatchObject({ ok: true });
  expect(probeTls(place, notAfterMs - 13.5 * DAY_MS)).toMatchObject({
    ok: false,
    reason: `the certificate expires on ${until} (in 13 days)`,
    fix: expect.stringContaining('godwit tls host'),
  });
  expect(probeTls(place, notAfterMs + DAY_MS)).toMatchObject({
    ok: false,
    reason: `the certificate has expired on ${until}`,
    fix: expect.stringContaining('godwit tls host'),
  });
  expect(probeTls(place, notBeforeMs - DAY_MS)).toMatchObject({ ok: false, fix: expect.stringContaining('clock') });
  expect(probeTls(directory.join('none'), Date.now())).toMatchObject({ ok: false, needed: 'optional' });
});
