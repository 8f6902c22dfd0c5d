/** A VM's network comes along: its interfaces, their addresses and open connections; and what does not fit is refused. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ReportView } from '../../src/api/migration-schema.ts';
import { requireCapability } from '../support/capability.ts';
import { completedReport, createTinyVm, type ReachedHost } from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import type { Side } from '../support/network-lab.ts';
import { NetworkTrial, TALKER } from '../support/network-trial.ts';
import { TempDirectory } from '../support/temp-directory.ts';
import { CALM } from '../support/tiny-vm.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

/** How long the client must not wait longer than the VM stood still; npm run test:soak has the bound that is promised. */
const SLACK_MS = 400;

const HOOKS = ['preMigrate', 'postResume', 'postRelease', 'postRollback'] as const;
const directory = new TempDirectory();
let trial: NetworkTrial;

async function nicOf(at: ReachedHost): Promise<{ mac: string; tap: string | null }> {
  return (await at.client.showVm(TALKER)).nics[0]!;
}

function sideOf({ host }: ReachedHost): Side {
  return host.name as Side;
}

/** What a QEMU has made goes with it. */
async function noTap(side: Side, name: string): Promise<void> {
  await waitUntil(`${name} is gone`, async () => !(await trial.lab.taps(side)).includes(name));
}

/** Of this host, once the hook that is run last is in it, and all announcements where there are any. */
async function completeReport(at: ReachedHost, id: string, hook: 'postResume' | 'postRelease'): Promise<ReportView> {
  return await waitUntil(`the report of ${at.host.name} tells of ${hook}`, async () => {
    const { report } = await at.client.showMigration(id);
    const isTold = hook === 'postRelease' || report?.announcements !== null;
    return report?.hooks.some((ran) => ran.hook === hook) && isTold ? report : undefined;
  });
}

/** What hooks have said, in no order: they are run on two hosts. */
function told(): string[] {
  const path = directory.join('told');
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n').sort() : [];
}

requireCapability('vm')('a VM in a bridge', () => {
  beforeAll(async () => {
    // Each hook says what it was, and `preMigrate` refuses while there is a file.
    const script =
      'echo "$GODWIT_HOST $GODWIT_HOOK $GODWIT_VM" >>told; [ "$GODWIT_HOOK" != preMigrate ] || [ ! -e locked ]';
    writeFileSync(directory.join('hook'), `#!/bin/sh\ncd ${directory.path}\n${script}\n`, { mode: 0o755 });
    const hooks = HOOKS.map((hook) => `  ${hook}: ${directory.join('hook')}`);
    writeFileSync(directory.join('host.yaml'), ['hooks:', ...hooks, ''].join('\n'));
    trial = await NetworkTrial.open(['--config', directory.join('host.yaml')]);
    await trial.lab.ip('a', 'link', 'add', 'br1', 'type', 'bridge');
    await trial.lab.ip('a', 'link', 'set', 'br1', 'up');
    await createTinyVm(trial.pair.a, { name: 'tiny', guest: CALM, nics: ['br1'] });
    await trial.createTalker(trial.pair.a);
  });
  afterAll(async () => {
    await trial?.[Symbol.asyncDispose]();
    directory[Symbol.dispose]();
  });

  test('keeps its MAC address and a connection that a client has open, there by pre-copy and back by post-copy', async () => {
    await using session = await trial.connect();
    await session.look();
    for (const mode of ['pre-copy', 'post-copy'] as const) {
      const { at, other } = await trial.pair.locate(TALKER);
      const before = await nicOf(at);
      const report = completedReport(await trial.pair.move(TALKER, { mode }));
      const nic = await nicOf(other);
      expect(nic.mac).toBe(before.mac);
      expect(await trial.lab.taps(sideOf(other))).toContain(nic.tap);
      await noTap(sideOf(at), before.tap!);
      const { asked } = await session.look();
      const seen = await waitUntil('the client is answered', async () => {
        const now = await session.look();
        return now.answered > asked ? now : undefined;
      });
      expect(seen.problems).toEqual([]);
      expect(seen.largestGapMs).toBeLessThan(report.downtimeMs! + SLACK_MS);
    }
  });

  test('is announced by the host that it has come to, and hooks of both hosts are run', async () => {
    rmSync(directory.join('told'), { force: true });
    const { at, other } = await trial.pair.locate(TALKER);
    const { id } = completedReport(await trial.pair.move(TALKER));
    const [left, come] = await Promise.all([
      completeReport(at, id, 'postRelease'),
      completeReport(other, id, 'postResume'),
    ]);
    expect(left).toMatchObject({ announcements: null, hooks: [{ hook: 'preMigrate' }, { hook: 'postRelease' }] });
    // RARP at least, out of the one port that is not the VM's own.
    expect(come.announcements).toBeGreaterThanOrEqual(5);
    expect([...left.hooks, ...come.hooks].map(({ problem }) => problem)).toEqual([null, null, null]);
    const [from, to] = [at.host.name, other.host.name];
    expect(told()).toEqual([`${from} postRelease talker`, `${from} preMigrate talker`, `${to} postResume talker`]);
  });

  test('stays where the hook preMigrate says so', async () => {
    const { at, other } = await trial.pair.locate(TALKER);
    writeFileSync(directory.join('locked'), '');
    const refused = at.client.migrate(TALKER, { to: other.host.migration });
    await expect(refused).rejects.toMatchObject({ code: 'GW_HOOK_REFUSED' });
    rmSync(directory.join('locked'));
    expect(await at.client.showVm(TALKER)).toMatchObject({ state: 'running', migration: null });
  });

  test.each([
    ['is not there', [], /bridge br1: this host has no bridge of that name \(make it: ip link add br1/],
    ['is down', [['add', 'br1', 'type', 'bridge']], /bridge br1: it is down on this host \(take it into use: ip link/],
    [
      'is too narrow',
      [
        ['add', 'br1', 'type', 'bridge'],
        ['set', 'br1', 'mtu', '1400', 'up'],
      ],
      /bridge br1: its MTU on this host is 1400, and the VM sends packets of up to 1500 bytes \(raise it /,
    ],
  ])('is refused, and told so by a check, where the bridge %s, and leaves no tap', async (_, steps, reason) => {
    const { lab } = trial;
    const { a, b } = trial.pair;
    await lab.ip('b', 'link', 'del', 'br1').catch(() => undefined);
    for (const words of steps) await lab.ip('b', 'link', ...words);
    const taps = await lab.taps('b');
    const check = await a.client.check('tiny', b.host.migration);
    expect(check).toMatchObject({ outcome: 'refused', blockers: [{ reason: expect.stringMatching(reason) }] });
    const { report } = await trial.pair.move('tiny');
    expect(report).toMatchObject({ outcome: 'refused', error: { message: expect.stringMatching(reason) } });
    expect(report!.error!.message).toContain('Host b refused VM tiny: ');
    expect(await lab.taps('b')).toEqual(taps);
    expect(await a.client.showVm('tiny')).toMatchObject({ state: 'running', migration: null });
  });

  test('is not created where its bridge or its address is taken or not there', async () => {
    const { a } = trial.pair;
    const { mac } = (await a.client.showVm('tiny')).nics[0]!;
    await expect(createTinyVm(a, { name: 'other', nics: [{ bridge: 'br1', mac }] })).rejects.toMatchObject({
      details: { field: 'nics[0].mac', value: mac, fix: expect.stringContaining('VM tiny has this address') },
    });
    await expect(createTinyVm(a, { name: 'other', nics: ['br2'] })).rejects.toMatchObject({
      details: { field: 'nics', value: 'bridge br2', fix: expect.stringContaining('no bridge of that name') },
    });
  });
});
