import { expect, test } from 'vitest';
import { hasCode } from '../base/errors.ts';
import { openLogger } from './logger.ts';
import { Upgrades, type UpgradesOptions } from './upgrades.ts';

const refusedWith = (code: Parameters<typeof hasCode>[1]): Error =>
  expect.toSatisfy((error) => hasCode(error, code)) as Error;

function upgradesOf(release: () => Promise<void>): Upgrades {
  const registry = {
    get: () => {
      throw new Error('nobody may take it');
    },
    view: () => ({}),
  } as unknown as UpgradesOptions['registry'];
  return new Upgrades({
    ...{ hostName: 'a', stateDirectory: '/nonexistent', allowedNetworkScripts: [], registry },
    migrations: { arrivalOf: async () => undefined },
    metrics: { upgraded: () => undefined },
    sampling: { release },
    log: openLogger({ level: 'silent', format: 'json', name: 'a' }),
  });
}

test('an upgrade is cancelled also while the VM is still looked at, and is the only one until it has ended', async () => {
  const looked = Promise.withResolvers<void>();
  const upgrades = upgradesOf(() => looked.promise);
  const upgrade = upgrades.start('web1', {});
  const cancelled = upgrades.cancel('web1');
  await expect(upgrades.start('web1', {})).rejects.toThrow(refusedWith('GW_CONFLICT'));
  looked.resolve();
  await expect(upgrade).rejects.toThrow(refusedWith('GW_UPGRADE_CANCELLED'));
  await cancelled;
  await expect(upgrades.cancel('web1')).rejects.toThrow(refusedWith('GW_NOT_FOUND'));
});

test('a daemon that stops waits for it, and begins no other', async () => {
  const looked = Promise.withResolvers<void>();
  const upgrades = upgradesOf(() => looked.promise);
  const upgrade = upgrades.start('web1', {});
  const stopped = upgrades[Symbol.asyncDispose]();
  await expect(upgrades.start('web2', {})).rejects.toThrow(refusedWith('GW_HOST_STOPPING'));
  looked.resolve();
  await expect(upgrade).rejects.toThrow(refusedWith('GW_UPGRADE_CANCELLED'));
  await stopped;
});
