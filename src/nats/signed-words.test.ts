import { describe, expect, test } from 'vitest';
import { type Beat, type Registration, SigningKey } from './signed-words.ts';

const KEY = new SigningKey('a'.repeat(64));
const DAEMON = '2a1a2f0e-6b7e-4d0c-9a53-0f6f9d9a7a11';
const REGISTRATION: Registration = {
  ...{ name: 'a', api: 'http://10.0.0.1:7700', migration: '10.0.0.1:7710' },
  ...{ daemonId: DAEMON, version: '1.0.0', sinceMs: 5, endedAtMs: null },
};
const BEAT: Beat = { name: 'a', daemonId: DAEMON, n: 7, nonce: 'b'.repeat(64) };
const record = KEY.signRegistration(REGISTRATION) as unknown as Registration & { readonly mac: string };
const said = KEY.signBeat(BEAT) as unknown as Beat & { readonly mac: string };

describe('a record', () => {
  test('is believed as it was signed, for the host that it names', () => {
    expect(KEY.readRegistration('a', record)).toEqual(REGISTRATION);
    expect(KEY.readRegistration('b', record)).toBeUndefined();
  });

  test.each<[string, object]>([
    ['name', { name: 'b' }],
    ['API', { api: 'http://10.0.0.9:7700' }],
    ['migration address', { migration: '10.0.0.9:7710' }],
    ['daemon', { daemonId: '11111111-1111-4111-8111-111111111111' }],
    ['version', { version: '1.0.1' }],
    ['beginning', { sinceMs: 6 }],
    ['end', { endedAtMs: 6 }],
    ['signature', { mac: '0'.repeat(64) }],
    ['signature, which is none', { mac: 'x' }],
  ])('is not believed with another %s', (_what, change) => {
    const changed = { ...record, ...change };
    expect(KEY.readRegistration(changed.name, changed)).toBeUndefined();
  });

  test.each([
    ['an API that is no address', { api: 'ftp://a' }],
    ['a port 0', { migration: '10.0.0.1:0' }],
    ['a migration address that is none', { migration: 'here' }],
    ['an endless address', { api: `http://${'a'.repeat(400)}` }],
  ])('is not believed with %s, although signed', (_what, change) => {
    expect(KEY.readRegistration('a', KEY.signRegistration({ ...REGISTRATION, ...change }))).toBeUndefined();
  });

  test('of another fleet is not believed', () => {
    expect(new SigningKey('c'.repeat(64)).readRegistration('a', record)).toBeUndefined();
  });
});

describe('a beat', () => {
  test('is believed as it was signed', () => {
    expect(KEY.readBeat(said)).toEqual(BEAT);
  });

  test.each<[string, object]>([
    ['name', { name: 'b' }],
    ['daemon', { daemonId: '11111111-1111-4111-8111-111111111111' }],
    ['number', { n: 8 }],
    ['nonce', { nonce: 'd'.repeat(64) }],
    ['nonce, which is none', { nonce: null }],
  ])('is not believed with another %s', (_what, change) => {
    expect(KEY.readBeat({ ...said, ...change })).toBeUndefined();
  });

  test.each([[null], ['text'], [{}], [[]], [record]])('is not %j', (value) => {
    expect(KEY.readBeat(value)).toBeUndefined();
  });
});
