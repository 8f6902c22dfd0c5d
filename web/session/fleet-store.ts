/** The page's connection to a controller. */
import type { FleetEvent } from '../../src/api/fleet-event-schema.ts';
import { hasCode } from '../../src/base/errors.ts';
import { FleetCalls } from '../../src/client/fleet-calls.ts';
import { accessToken } from './access-token.ts';
import { FetchCarrier } from './fetch-carrier.ts';
import { applyFleetEvent, type FleetState, NO_FLEET_KNOWN } from './fleet-state.ts';
import { LiveStore } from './live-store.ts';

const SHOWN_EVACUATIONS = 50;

export class FleetStore extends LiveStore<FleetState, FleetEvent> {
  readonly calls: FleetCalls;

  constructor(base: string) {
    const calls = new FleetCalls(new FetchCarrier(base, accessToken));
    super({
      nothingKnown: NO_FLEET_KNOWN,
      load: () => loadFleet(calls),
      events: (signal) => calls.events({ signal }),
      apply: applyFleetEvent,
    });
    this.calls = calls;
  }
}

/** What the store has is left as it was while that is silent: the rest tells that it is. */
export async function loadFleet(calls: Pick<FleetCalls, 'fleet' | 'listEvacuations'>): Promise<Partial<FleetState>> {
  const asked = calls.listEvacuations(SHOWN_EVACUATIONS).catch((error: unknown) => {
    if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) throw error;
    return null;
  });
  const [{ controller, hosts, vms, migrations }, evacuations] = await Promise.all([calls.fleet(), asked]);
  return { controller, hosts, vms, migrations, ...(evacuations && { evacuations }), isKnown: true };
}
