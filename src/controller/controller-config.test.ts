import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fleetKeyOf } from '../api/fleet-key.ts';
import { type ControllerFlags, resolveController } from './controller-config.ts';
import { openLocalFleet } from './local-fleet.ts';

let directory: string;
let flags: ControllerFlags;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'gwc-'));
  writeFileSync(join(directory, 'fleet.yaml'), 'hosts: {a: {api: "unix:/a"}}\n');
  writeFileSync(join(directory, 'token'), `${'t'.repeat(32)}\n`);
  writeFileSync(join(directory, 'empty'), '\n');
  flags = { fleet: join(directory, 'fleet.yaml'), state: directory, name: 'c1' };
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('by default the API is for this machine only, and the store a file', () => {
  const { listen, token, nats } = resolveController(flags, undefined);
  expect({ listen, token, nats }).toEqual({
    listen: [{ kind: 'tcp', host: '127.0.0.1', port: 7720 }],
    token: null,
    nats: null,
  });
});

test('a token file wins over the environment, and opens the API to other machines', () => {
  const tokenFile = join(directory, 'token');
  const { token } = resolveController({ ...flags, listen: ['0.0.0.0:7720'], tokenFile }, 'e'.repeat(32));
  expect(token).toBe('t'.repeat(32));
});

test('a file of tokens opens the API to other machines, too', () => {
  const more = { listen: ['0.0.0.0:7720'], tokensFile: '/etc/godwit/tokens.yaml', auditLog: '/var/log/audit.log' };
  const { token, tokensFile, auditLog, listenMode } = resolveController({ ...flags, ...more }, undefined);
  expect({ token, tokensFile, auditLog, listenMode }).toEqual({
    token: null,
    tokensFile: '/etc/godwit/tokens.yaml',
    auditLog: '/var/log/audit.log',
    listenMode: 0o600,
  });
});

test.each<[string, Partial<ControllerFlags>, string | undefined, RegExp]>([
  ['an open address without a token', { listen: ['0.0.0.0:7720'] }, undefined, /--listen: .*add --token-file/],
  ['a short token', {}, 'short', /--token-file: GODWIT_TOKEN .*at least 16/],
  ['what is no address of NATS', { nats: ['10.0.0.9:4222'] }, undefined, /--nats: .*nats:\/\/HOST:PORT/],
  ['a number of copies that there is not', { nats: ['nats://x:1'], natsReplicas: 2 }, undefined, /1, 3 or 5/],
  ['a prefix with a dot', { nats: ['nats://x:1'], natsPrefix: 'a.b' }, undefined, /--nats-prefix/],
  ['a name with a slash', { name: 'a/b' }, undefined, /--name/],
])('refuses %s, with the fix', (_what, more, token, message) => {
  expect(() => resolveController({ ...flags, ...more }, token)).toThrow(message);
});

test('an empty token of NATS is refused, and a file that is not there named', () => {
  const nats = ['nats://x:1'];
  expect(() => resolveController({ ...flags, nats, natsTokenFile: join(directory, 'empty') }, undefined)).toThrow(
    'put the token into the file',
  );
  expect(() => resolveController({ ...flags, nats, natsCredentials: join(directory, 'none') }, undefined)).toThrow(
    'none',
  );
});

test('hosts register with a controller that has NATS only', () => {
  writeFileSync(join(directory, 'key'), `${'k'.repeat(32)}\n`);
  const fleet = join(directory, 'registering.yaml');
  writeFileSync(
    fleet,
    'hosts: {}\nregister: {fleetKeyFile: key, tokenFile: token, rate: 1Gbit/s, labels: {rack: "1"}}\n',
  );
  expect(() => resolveController({ ...flags, fleet }, undefined)).toThrow(/register.*add --nats/);
  expect(() => openLocalFleet(fleet)).toThrow(/register.*give --controller/);
  const { file } = resolveController({ ...flags, fleet, nats: ['nats://n1:4222'] }, undefined);
  expect(file.register).toEqual({
    fleetKey: fleetKeyOf('k'.repeat(32)),
    token: 't'.repeat(32),
    bytesPerSecond: 125_000_000,
    labels: { rack: '1' },
  });
});
