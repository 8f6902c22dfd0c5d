import { expect, test } from 'vitest';
import { MacClaims } from './mac-claims.ts';

const MAC = '52:54:00:00:00:01';
const OTHER = '52:54:00:00:00:02';

function claims(held: Readonly<Record<string, string>> = {}, owner = 'fleet'): MacClaims {
  return new MacClaims(owner, (mac) => held[mac]);
}

test('addresses are drawn for those that want any, and others kept', () => {
  using claim = claims().claim('web', [{ mac: 'auto' }, { mac: MAC }, { mac: 'auto' }]);
  const [first, second, third] = claim.of([{ mac: 'auto' }, { mac: MAC }, { mac: 'auto' }]);
  expect(second).toEqual({ mac: MAC });
  expect(new Set([first?.mac, second?.mac, third?.mac]).size).toBe(3);
});

test('all that one owner draws begins alike', () => {
  const prefixes = Array.from({ length: 20 }, () => {
    using claim = claims().claim('web', [{ mac: 'auto' }]);
    return claim.of([{ mac: 'auto' }])[0]!.mac.slice(0, 5);
  });
  expect(new Set(prefixes).size).toBe(1);
});

test.each([
  ['runs', claims({ [MAC]: 'db' })],
  ['is being started', startingDb()],
])('the address of a VM that %s is refused, with its name', (_, macs) => {
  expect(() => macs.claim('web', [{ mac: OTHER }, { mac: MAC }])).toThrow(
    expect.objectContaining({
      code: 'GW_INPUT_INVALID',
      details: {
        field: 'nics[1].mac',
        value: MAC,
        fix: expect.stringContaining('VM db has this address'),
      },
    }),
  );
  expect(macs.refusalFor({ vm: 'web', macs: [OTHER, MAC] })).toContain(`${MAC} is that of VM db`);
});

test('a claim that is over is nobody’s, and one that failed never was', () => {
  const macs = claims({ [OTHER]: 'db' });
  macs.claim('web', [{ mac: MAC }])[Symbol.dispose]();
  expect(() => macs.claim('web', [{ mac: MAC }, { mac: OTHER }])).toThrow();
  expect(macs.refusalFor({ vm: 'other', macs: [MAC] })).toBeUndefined();
});

test('a VM that comes back does not stand in its own way', () => {
  expect(claims({ [MAC]: 'web' }).refusalFor({ vm: 'web', macs: [MAC] })).toBeUndefined();
});

function startingDb(): MacClaims {
  const macs = claims();
  macs.claim('db', [{ mac: MAC }]);
  return macs;
}
