import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fleetKeyOf } from '../api/fleet-key.ts';
import { GodwitError } from '../base/errors.ts';
import { readConfigFile, resolveConfig } from './config.ts';
import type { HostSettings } from './config-schema.ts';

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'godwit-config-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, contents: string): string {
  const path = join(directory, name);
  writeFileSync(path, contents);
  return path;
}

function details(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    if (error instanceof GodwitError) return { code: error.code, ...error.details };
    throw error;
  }
  return 'not refused';
}

const resolved = (settings: HostSettings, token?: string): unknown =>
  resolveConfig({ name: 'a', ...settings }, { terminal: false, ...(token === undefined ? {} : { token }) });

describe('config file', () => {
  test('every setting is read', () => {
    const path = file(
      'full.yaml',
      `name: a
listen: [127.0.0.1:0, unix:/run/godwit.sock]
migrationListen: 0.0.0.0:7710
insecureMigration: true
tls: /etc/godwit/tls
tlsAllow: [a, c]
state: /srv/godwit
peers: {b: 10.0.0.2:7710}
bandwidth: 5Gbit/s
dscp: cs1
maxIncomingMigrations: 3
allowedNetworkScripts: [/etc/up, /etc/down]
images: /srv/images
keepReports: 7
sampleEvery: 30s
keepHistory: 4h
keepVisits: 2GiB
spareThreads: off
hooks: {preMigrate: /etc/godwit/ask, postRelease: /etc/godwit/gone}
hookTimeout: 2m
fleetKeyFile: ${file('fleet', 'a-key-that-is-long-enough-for-a-fleet\n')}
fleetNats: [nats://n1:4222, tls://n2:4222]
fleetNatsTokenFile: ${file('nats', 'a-token-of-nats\n')}
fleetPrefix: rack3
fleetMigration: 10.0.0.1:7710
logLevel: debug
logFormat: json
tokenFile: ${file('token', 'a-token-that-is-long-enough\n')}
tokensFile: /etc/godwit/tokens.yaml
auditLog: /var/log/godwit/audit.log
listenMode: "0660"
`,
    );
    expect(resolved(readConfigFile(path))).toEqual({
      name: 'a',
      listen: [
        { kind: 'tcp', host: '127.0.0.1', port: 0 },
        { kind: 'unix', path: '/run/godwit.sock' },
      ],
      migration: { host: '0.0.0.0', port: 7710 },
      tls: { directory: '/etc/godwit/tls', allow: ['a', 'c'] },
      stateDirectory: '/srv/godwit',
      listenMode: 0o660,
      token: 'a-token-that-is-long-enough',
      tokensFile: '/etc/godwit/tokens.yaml',
      auditLog: '/var/log/godwit/audit.log',
      peers: { b: '10.0.0.2:7710' },
      bandwidthBytesPerSecond: 625_000_000,
      dscp: 8,
      maxIncomingMigrations: 3,
      allowedNetworkScripts: ['/etc/up', '/etc/down'],
      images: '/srv/images',
      keepReports: 7,
      sampleEveryMs: 30_000,
      keepHistoryMs: 14_400_000,
      keepVisitsBytes: 2 * 2 ** 30,
      keepsSpareThreads: false,
      fleetKey: fleetKeyOf('a-key-that-is-long-enough-for-a-fleet'),
      registration: {
        nats: {
          servers: ['nats://n1:4222', 'tls://n2:4222'],
          credentials: null,
          token: 'a-token-of-nats',
          prefix: 'rack3',
        },
        api: null,
        migration: '10.0.0.1:7710',
      },
      hooks: { preMigrate: '/etc/godwit/ask', postRelease: '/etc/godwit/gone' },
      hookTimeoutMs: 120_000,
      logLevel: 'debug',
      logFormat: 'json',
    });
  });

  test('an empty file means the defaults, which only this machine can reach', () => {
    expect(resolved(readConfigFile(file('empty.yaml', '')))).toEqual({
      name: 'a',
      listen: [{ kind: 'tcp', host: '127.0.0.1', port: 7700 }],
      migration: { host: '127.0.0.1', port: 7710 },
      tls: null,
      stateDirectory: '/var/lib/godwit',
      listenMode: 0o600,
      token: null,
      tokensFile: null,
      auditLog: null,
      peers: {},
      bandwidthBytesPerSecond: 0,
      dscp: null,
      maxIncomingMigrations: 8,
      allowedNetworkScripts: [],
      images: null,
      keepReports: 500,
      sampleEveryMs: 60_000,
      keepHistoryMs: 3_600_000,
      keepVisitsBytes: 0,
      keepsSpareThreads: true,
      fleetKey: null,
      registration: null,
      hooks: {},
      hookTimeoutMs: 30_000,
      logLevel: 'info',
      logFormat: 'json',
    });
  });

  test.each([
    ['name: "a b"', 'name', '"a b"'],
    ['listen: 7700', 'listen', '7700'],
    ['migrationListen: [1]', 'migrationListen', '[1]'],
    ['insecureMigration: perhaps', 'insecureMigration', '"perhaps"'],
    ['tls: {ca: x}', 'tls', '{"ca":"x"}'],
    ['spareThreads: 2', 'spareThreads', '2'],
    ['tlsAllow: a', 'tlsAllow', '"a"'],
    ['state: 7', 'state', '7'],
    ['tokenFile: 7', 'tokenFile', '7'],
    // YAML makes a number of it, of which nobody knows whether it is meant to be octal.
    ['listenMode: 0660', 'listenMode', '660'],
    ['listenMode: "0888"', 'listenMode', '"0888"'],
    ['tokensFile: []', 'tokensFile', '[]'],
    ['auditLog: 1', 'auditLog', '1'],
    ['peers: [b]', 'peers', '["b"]'],
    ['peers: {b: 7}', 'peers.b', '7'],
    ['bandwidth: 5', 'bandwidth', '5'],
    ['bandwidth: 5Gbit/h', 'bandwidth', '"5Gbit/h"'],
    ['dscp: 64', 'dscp', '64'],
    ['dscp: af14', 'dscp', '"af14"'],
    ['maxIncomingMigrations: 0', 'maxIncomingMigrations', '0'],
    ['allowedNetworkScripts: /etc/up', 'allowedNetworkScripts', '"/etc/up"'],
    ['allowedNetworkScripts: [up]', 'allowedNetworkScripts[0]', '"up"'],
    ['sampleEvery: 2h', 'sampleEvery', '"2h"'],
    ['sampleEvery: never', 'sampleEvery', '"never"'],
    ['keepHistory: 2d', 'keepHistory', '"2d"'],
    ['keepReports: 0', 'keepReports', '0'],
    ['logLevel: loud', 'logLevel', '"loud"'],
    ['logFormat: xml', 'logFormat', '"xml"'],
    ['lisen: 127.0.0.1:1', 'lisen', '"127.0.0.1:1"'],
  ])('%s is refused naming field, value and fix', (yaml, field, value) => {
    expect(details(() => readConfigFile(file('bad.yaml', yaml)))).toMatchObject({
      code: 'GW_INPUT_INVALID',
      field,
      value,
      fix: expect.stringMatching(/^(give|remove) /),
    });
  });

  test('a file that is not there and one that is not YAML are told apart', () => {
    expect(details(() => readConfigFile('/nonexistent.yaml'))).toMatchObject({
      code: 'GW_INPUT_UNREADABLE',
      reason: 'ENOENT',
    });
    expect(details(() => readConfigFile(file('not.yaml', 'a: [')))).toMatchObject({ code: 'GW_INPUT_UNREADABLE' });
  });
});

describe('what other machines can reach', () => {
  test.each([
    '0.0.0.0:7710',
    '10.0.0.1:7710',
    '[::]:7710',
    'host.example:7710',
  ])('a migration port at %s needs TLS, or --insecure-migration', (migrationListen) => {
    expect(details(() => resolved({ migrationListen }))).toMatchObject({
      field: 'migrationListen',
      value: migrationListen,
      fix: expect.stringContaining('--tls DIR'),
    });
    expect(resolved({ migrationListen, insecureMigration: true })).toMatchObject({ tls: null });
    expect(resolved({ migrationListen, tls: '/t' })).toMatchObject({ tls: { directory: '/t', allow: undefined } });
  });

  test('hosts that may send have to be known by certificates', () => {
    expect(details(() => resolved({ tlsAllow: ['b'] }))).toMatchObject({ field: 'tlsAllow', value: 'b' });
  });

  test.each(['0.0.0.0:7700', '[::]:7700'])('an API at %s needs a token', (listen) => {
    expect(details(() => resolved({ listen }))).toMatchObject({ field: 'listen' });
    expect(resolved({ listen }, 'from-the-environment')).toMatchObject({ token: 'from-the-environment' });
  });

  test.each([
    '127.0.0.1:7700',
    '127.9.9.9:7700',
    '[::1]:7700',
    'localhost:7700',
    'unix:/run/g.sock',
  ])('an API at %s needs none', (listen) => {
    expect(resolved({ listen })).toMatchObject({ token: null });
  });

  test('a token that is easy to guess is refused', () => {
    expect(details(() => resolved({ tokenFile: file('short', 'secret') }))).toMatchObject({ field: 'tokenFile' });
    expect(details(() => resolved({}, 'secret'))).toMatchObject({ field: 'GODWIT_TOKEN', value: '(6 characters)' });
  });

  test.each([
    'nowhere',
    '127.0.0.1',
    '127.0.0.1:99999',
    'http://127.0.0.1:1',
    'unix:relative',
  ])('%s is no address', (listen) => {
    expect(details(() => resolved({ listen }))).toMatchObject({
      code: 'GW_INPUT_INVALID',
      field: 'listen',
      value: listen,
    });
  });
});

describe('registering', () => {
  const fleetKeyFile = (): string => file('registering', 'a-key-that-is-long-enough-for-a-fleet\n');
  const fleetNats = ['nats://n1:4222'];
  const open = { listen: '0.0.0.0:7700', tokensFile: '/t', migrationListen: '0.0.0.0:7710', insecureMigration: true };

  test.each<[string, HostSettings, string, string]>([
    ['no key', { fleetNats }, 'fleetNats', 'add fleetKeyFile'],
    ['no server', { fleetPrefix: 'x' }, 'fleetPrefix', 'add fleetNats'],
    ['a server that is none', { fleetNats: ['http://n1'] }, 'fleetNats', 'give nats://HOST:PORT'],
    ['an API at all addresses', { ...open, fleetNats, fleetMigration: 'h:1' }, 'fleetApi', 'http://10.0.0.2:7700'],
    ['an API at a socket only', { listen: 'unix:/a', fleetNats }, 'fleetApi', 'http://10.0.0.2:7700'],
    ['migrations at all addresses', { ...open, fleetNats, fleetApi: 'http://h:1' }, 'fleetMigration', '10.0.0.2:7710'],
    ['an address without a port', { fleetNats, fleetMigration: 'h' }, 'fleetMigration', 'HOST:PORT'],
    ['a name that is no subject', { name: 'a.', fleetNats }, 'name', 'without a dot at its end'],
    ['a prefix with a dot', { fleetNats, fleetPrefix: 'a.b' }, 'fleetPrefix', 'give letters'],
  ])('%s is refused, with field and fix', (what, settings, field, fix) => {
    const key = what.startsWith('no ') ? {} : { fleetKeyFile: fleetKeyFile() };
    expect(details(() => resolved({ ...key, ...settings }))).toMatchObject({
      code: 'GW_INPUT_INVALID',
      field,
      fix: expect.stringContaining(fix),
    });
  });
});
