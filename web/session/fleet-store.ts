/** The page's connection to a controller. */
import type { FleetEvent } from '../../src/api/fleet-event-schema.ts';
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

async function loadFleet(calls: FleetCalls): Promise<Partial<FleetState>> {
  const [fleet, evacuations] = await Promise.all([calls.fleet(), calls.listEvacuations(SHOWN_EVACUATIONS)]);
  const { controller, hosts, vms, migrations } = fleet;
  return { controller, hosts, vms, migrations, evacuations, isKnown: true };
}
