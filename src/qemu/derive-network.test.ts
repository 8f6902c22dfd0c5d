import { describe, expect, test } from 'vitest';
import type { Argument } from './arguments.ts';
import type { Blocker } from './blocker.ts';
import { Derivation } from './derivation.ts';
import { deriveNetwork, deriveSet } from './derive-network.ts';

const ENDPOINTS = { ramPath: '/r', qmpPath: '/s/qmp.sock', consoleSocketPath: '/s/c.sock', consoleLogPath: '/s/c.log' };

const TAPS = new Map([['lan', 'gw89abcdefn0']]);

function derive(
  option: string,
  value: string,
  allowed?: readonly string[],
): { readonly args: readonly Argument[]; readonly blockers: readonly Blocker[] } {
  const scripts = allowed === undefined ? {} : { allowedNetworkScripts: allowed };
  const options = {
    machineType: 'pc-q35-7.2',
    accel: 'tcg',
    endpoints: { ...ENDPOINTS, taps: TAPS },
    ...scripts,
  } as const;
  const derivation = new Derivation(options, undefined, new Set(), new Set());
  const rule = option === 'set' ? deriveSet : deriveNetwork;
  return { args: rule({ option, value }, derivation), blockers: derivation.blockers };
}

test('a refused script tells its path and what would allow it', () => {
  expect(derive('netdev', 'tap,id=n0,script=/tmp/x,downscript=/tmp/y').blockers).toEqual([
    {
      id: 'network-program',
      what: '-netdev n0',
      reason: 'the destination would run script=/tmp/x and downscript=/tmp/y as root',
      fix: expect.stringMatching(/^put \/tmp\/x and \/tmp\/y into allowedNetworkScripts of the destination's config/),
    },
  ]);
});

test('a helper and a script are refused each', () => {
  expect(derive('netdev', 'tap,id=n0,helper=/tmp/h,script=/tmp/x').blockers).toMatchObject([
    { reason: expect.stringContaining('/tmp/h') },
    { reason: expect.stringContaining('/tmp/x') },
  ]);
});

describe('scripts that the destination allows', () => {
  const ALLOWED = ['/etc/up', '/etc/down'];

  test.each([
    ['netdev', 'tap,id=n0,script=/etc/up,downscript=/etc/down'],
    ['nic', 'tap,script=/etc/up,downscript=no'],
    ['net', 'tap,script=no,downscript=/etc/down'],
    ['netdev', '{"type":"tap","id":"n0","script":"/etc/up"}'],
  ])('stay as they are: -%s %s', (option, value) => {
    expect(derive(option, value, ALLOWED)).toEqual({ args: [{ option, value }], blockers: [] });
  });

  test.each([
    ['another one', 'netdev', 'tap,id=n0,script=/etc/up,downscript=/tmp/x'],
    ['another way to say the path', 'netdev', 'tap,id=n0,script=/etc/../etc/up'],
    ['the name alone', 'netdev', 'tap,id=n0,script=up'],
    ['the beginning of the path', 'netdev', 'tap,id=n0,script=/etc/u'],
    ['one with an argument', 'netdev', 'tap,id=n0,script=/etc/up x'],
    ['one after which another counts', 'netdev', 'tap,id=n0,script=/etc/up,script=/tmp/x'],
    ['one as a helper', 'netdev', 'tap,id=n0,helper=/etc/up'],
    ['one that is set afterwards', 'set', 'netdev.n0.script=/etc/up'],
  ])('do not let in %s', (_, option, value) => {
    expect(derive(option, value, ALLOWED).blockers).toMatchObject([{ id: 'network-program' }]);
  });
});

describe('the name of a tap', () => {
  test("is this host's own where godwit looks after it", () => {
    const { args, blockers } = derive('netdev', 'tap,ifname=gw01234567n0,script=no,downscript=no,id=lan');
    expect(args).toEqual([{ option: 'netdev', value: 'tap,ifname=gw89abcdefn0,script=no,downscript=no,id=lan' }]);
    expect(blockers).toEqual([]);
  });

  test('stays where somebody else does', () => {
    const value = 'tap,ifname=tap7,script=no,downscript=no,id=other';
    expect(derive('netdev', value).args).toEqual([{ option: 'netdev', value }]);
  });
});
