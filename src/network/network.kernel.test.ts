// Announcing and plugging in with real bridges, in network namespaces of their own.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { BRIDGE, NetworkLab, type Side } from '../../test/support/network-lab.ts';
import { ANNOUNCE_AFTER_MS } from './announcing.ts';

checkLeaks();

const MAC = '52:54:00:00:00:01';
const MAIN = fileURLToPath(new URL('../../test/support/announce-main.ts', import.meta.url));

/** Says at this host that the VM is there; returns how many frames it sent. */
function announceAt(lab: NetworkLab, side: Side, ...addresses: string[]): number {
  const [program, ...words] = [...lab.launcher(side), process.execPath, MAIN, BRIDGE, 'tap0', MAC, ...addresses];
  return Number(execFileSync(program!, words, { encoding: 'utf8' }));
}

/** The port of the switch behind which it has seen the VM last. */
function learntPort(lab: NetworkLab): string | undefined {
  const [program, ...words] = [...lab.launcher('client'), 'bridge', '-json', 'fdb', 'show', 'br', 'sw0'];
  const table = JSON.parse(execFileSync(program!, words, { encoding: 'utf8' })) as { mac: string; ifname: string }[];
  return table.find(({ mac }) => mac === MAC)?.ifname;
}

requireCapability('kernel')('announcing', () => {
  test('teaches the switch where the VM is, and again when it is elsewhere', async () => {
    await using lab = await NetworkLab.open();
    expect(learntPort(lab)).toBeUndefined();
    expect(announceAt(lab, 'a')).toBe(ANNOUNCE_AFTER_MS.length);
    expect(learntPort(lab)).toBe('to-a');
    expect(announceAt(lab, 'b', '10.77.0.7', 'fe80::1')).toBe(3 * ANNOUNCE_AFTER_MS.length);
    expect(learntPort(lab)).toBe('to-b');
  });

  test('teaches hosts where an IP address of it is', async () => {
    await using lab = await NetworkLab.open();
    const others = ['neigh', 'replace', '10.77.0.7', 'lladdr', '52:54:00:00:00:99', 'dev', 'sw0', 'nud', 'stale'];
    await lab.ip('client', ...others);
    announceAt(lab, 'a', '10.77.0.7');
    const table = JSON.parse(await lab.ip('client', '-json', 'neigh', 'show', '10.77.0.7')) as { lladdr: string }[];
    expect(table.map(({ lladdr }) => lladdr)).toEqual([MAC]);
  });

  test('says nothing into the tap of the VM, nor out of a port that is down', async () => {
    await using lab = await NetworkLab.open();
    await lab.ip('a', 'tuntap', 'add', 'tap0', 'mode', 'tap');
    await lab.ip('a', 'link', 'set', 'tap0', 'master', BRIDGE, 'up');
    await lab.ip('a', 'link', 'set', 'up0', 'down');
    expect(announceAt(lab, 'a')).toBe(0);
    expect(learntPort(lab)).toBeUndefined();
  });
});
