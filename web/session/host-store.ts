/** The page's connection to a host. */
import type { HostEvent } from '../../src/api/event-schema.ts';
import { HostCalls } from '../../src/client/host-calls.ts';
import { accessToken } from './access-token.ts';
import { FetchCarrier } from './fetch-carrier.ts';
import { applyEvent, type HostState, NOTHING_KNOWN } from './host-state.ts';
import { LiveStore } from './live-store.ts';

/** Reports of older ones are in the state directory; a page of more would be slow on a phone. */
const SHOWN_MIGRATIONS = 200;

export class HostStore extends LiveStore<HostState, HostEvent> {
  readonly calls: HostCalls;

  /** @param base - what the paths of its API are relative to */
  constructor(base: string) {
    const calls = new HostCalls(new FetchCarrier(base, accessToken));
    super({
      nothingKnown: NOTHING_KNOWN,
      load: () => loadHost(calls),
      events: (signal) => calls.events({ signal }),
      apply: applyEvent,
      // Who shares memory changes with the VMs; its own event does not exist.
      reload: ({ kind }) =>
        kind === 'vmRemoved' || kind === 'vmChanged' ? calls.listGroups().then((groups) => ({ groups })) : null,
    });
    this.calls = calls;
  }
}

async function loadHost(calls: HostCalls): Promise<Partial<HostState>> {
  const host = await calls.host();
  const [vms, migrations, groups, groupMigrations] = await Promise.all([
    calls.listVms(),
    calls.listMigrations({ limit: SHOWN_MIGRATIONS }),
    calls.listGroups(),
    calls.listGroupMigrations(),
  ]);
  return { host, vms, migrations, groups, groupMigrations };
}
