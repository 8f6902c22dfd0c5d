/** What hosts are told of the policies of VMs. */
import { expect, test } from 'vitest';
import { evacuationTrial, NEVER, vmOf } from '../../test/support/evacuation-trial.ts';
import type { MigrateBody } from '../api/migration-schema.ts';

const BUS = { sharedMemory: [{ name: 'bus', bytes: 4096 }] };
const HOSTS = { a: { api: 'unix:/a', rate: '10Gbit/s' }, b: { api: 'unix:/b', rate: '10Gbit/s' } };
const LABELS = { s: { labels: { kind: 's' } }, t: { labels: { kind: 't' } } };

async function askedFor(vms: Parameters<typeof evacuationTrial>[0], settings: object) {
  const { evacuation, requests } = evacuationTrial(vms, { settings: { vms: LABELS, ...settings } });
  await evacuation.run(NEVER, NEVER);
  return requests;
}

test.each([
  ['2Gbit/s', {}, 250_000_000],
  ['2Gbit/s', { hosts: HOSTS }, 250_000_000],
  ['20Gbit/s', { hosts: HOSTS }, 1_250_000_000],
  ['unlimited', { hosts: HOSTS }, 1_250_000_000],
  ['unlimited', {}, 0],
])('a bandwidth of %s by policy is kept with %o, and so is that of the plan', async (bandwidth, more, expected) => {
  const policies = { p: { vms: { kind: 's' }, bandwidth, verify: true, maxDowntime: '20ms' } };
  const request = (await askedFor([vmOf('s')], { policies, ...more })).get('s')!;
  expect(request).toEqual({
    ...{ to: 'b:7710', verify: true, maxDowntimeMs: 20 },
    bandwidthBytesPerSecond: expected,
  } satisfies MigrateBody);
});

test.each([
  // Of 10 Gbit/s, of which 2 are kept.
  [{ hosts: HOSTS, reservations: [{ from: 'a', to: null, rate: '2Gbit/s' }] }, 1e9],
  [{ hosts: HOSTS, reservations: [{ to: 'b', rate: '2Gbit/s' }] }, 1e9],
  [{ hosts: HOSTS, reservations: [{ from: 'b', rate: '2Gbit/s' }] }, 1.25e9],
])('what is reserved is left to others: %j', async (settings, expected) => {
  expect((await askedFor([vmOf('s')], settings)).get('s')!.bandwidthBytesPerSecond).toBe(expected);
});

test('VMs that share memory keep their modes, and of the rest the strictest', async () => {
  const policies = {
    s: { vms: { kind: 's' }, mode: 'hybrid', bandwidth: '2Gbit/s', maxDowntime: '80ms', onTimeout: 'post-copy' },
    t: { vms: { kind: 't' }, mode: 'pre-copy', bandwidth: '1Gbit/s', timeout: '10m', onTimeout: 'cancel' },
  };
  const shared = await askedFor([vmOf('s', BUS), vmOf('t', BUS)], { policies });
  expect(shared.get('bus')).toEqual({
    ...{ to: 'b:7710', modes: { s: 'hybrid', t: 'pre-copy' }, bandwidthBytesPerSecond: 125_000_000 },
    // By default t allows less than s.
    ...{ maxDowntimeMs: 50, timeoutMs: 600_000, onTimeout: 'cancel' },
  });
  expect((await askedFor([vmOf('s', BUS), vmOf('t', BUS)], {})).get('bus')).toEqual({ to: 'b:7710' });
});

test('what a deadline promises is not asked of a group with a VM that no post-copy may move', async () => {
  const policies = { t: { vms: { kind: 't' }, mode: 'pre-copy' } };
  const ask = async (settings: object) => {
    const vms = [vmOf('s', BUS), vmOf('t', BUS)];
    const trial = evacuationTrial(vms, { deadlineInMs: 3_600_000, settings: { vms: LABELS, ...settings } });
    await trial.evacuation.run(NEVER, NEVER);
    return trial.requests.get('bus')!;
  };
  expect((await ask({})).finishByMs).toBeGreaterThan(0);
  expect((await ask({ policies })).finishByMs).toBeUndefined();
});
