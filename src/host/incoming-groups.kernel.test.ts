import { expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import { newSessionKey } from '../migration/source-offer.ts';
import type { RegionReport } from '../sharing/region-report.ts';
import type { RegionDestinationOptions } from '../sharing/region-threads.ts';
import { IncomingGroups } from './incoming-groups.ts';
import { IncomingPromises } from './incoming-promises.ts';
import { openLogger } from './logger.ts';
import { VmRegistry } from './vm-registry.ts';

const NOT_TAKEN = (): number => expect.unreachable();

test('a source that asks for what has come and gone is told that it is over, also by the next daemon', async () => {
  using directory = new TempDirectory();
  const started: RegionDestinationOptions[] = [];
  const ended = Promise.withResolvers<void>();
  const startRegion = (options: RegionDestinationOptions) => {
    started.push(options);
    const nothing = async (): Promise<never> => expect.unreachable();
    const rest = { attach: nothing, addConnection: nothing, detach: nothing, report: nothing, abandon: nothing };
    return { group: options.group, ended: ended.promise, ...rest, cancel: nothing };
  };
  const groups = open(directory.path, startRegion);
  const region = { name: `test-${process.pid}`, bytes: 4096 };
  const [sessionKey, group] = [newSessionKey(), '01234567-89ab-cdef-0123-456789abcdef'];
  const offer = { kind: 'offerRegion', group, sessionKey, sourceHost: 'b', region, vms: ['a'] } as const;
  const join = { kind: 'join', sessionKey, purpose: 'region' } as const;
  expect(groups.onJoin(join, NOT_TAKEN, 'b')).toBe('unknown');
  await groups.onOffer(offer, () => -1, 'b', new AbortController().signal);
  started[0]!.onEvent({ kind: 'completed', report: {} as RegionReport });
  ended.resolve();
  await ended.promise;
  await Promise.resolve();
  for (const each of [groups, open(directory.path, startRegion)]) {
    expect(each.onJoin(join, NOT_TAKEN, 'b')).toBe('over');
    expect(each.onJoin({ ...join, sessionKey: newSessionKey() }, NOT_TAKEN, 'b')).toBe('unknown');
  }
});

function open(
  stateDirectory: string,
  startRegion: ConstructorParameters<typeof IncomingGroups>[0]['startRegion'],
): IncomingGroups {
  const log = openLogger({ level: 'silent', format: 'json', name: 'a' });
  const place = { hostName: 'a', stateDirectory, promises: new IncomingPromises(SYSTEM_CLOCK), log };
  const absenceOf = (name: string) => new GodwitError('GW_NOT_FOUND', { kind: 'VM', name });
  const registry = new VmRegistry({
    ...place,
    fleetKey: null,
    changed: () => undefined,
    removed: () => undefined,
    absenceOf,
  });
  return new IncomingGroups({ ...place, registry, startRegion });
}
