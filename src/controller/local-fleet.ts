/**
 * A fleet for the time of one command, without a controller: nothing outlives it but what the hosts know.
 */
import type { EvacuationView } from '../api/evacuation-schema.ts';
import type { FleetActions } from '../api/fleet-service.ts';
import { GodwitError } from '../base/errors.ts';
import { Fleet } from './fleet.ts';
import { readFleetFile } from './fleet-file.ts';
import { SqliteStore } from './sqlite-store.ts';

export interface LocalFleet extends AsyncDisposable {
  readonly actions: FleetActions;
  readonly isRemote: false;
  watch(id: string, signal: AbortSignal): AsyncIterable<EvacuationView>;
}

/** @throws GW_INPUT_UNREADABLE, GW_INPUT_INVALID */
export function openLocalFleet(path: string): LocalFleet {
  const file = readFleetFile(path);
  if (file.register !== null) {
    const fix = 'give --controller URL: hosts that register are known to controllers only. Or take `register` out';
    throw new GodwitError('GW_INPUT_INVALID', { field: 'register', value: path, fix });
  }
  const store = new SqliteStore(':memory:');
  const fleet = new Fleet({
    file,
    store,
    name: 'this command',
    controller: () => null,
    leads: () => true,
    orders: () => null,
    failed: (_what, reason) => process.emitWarning(reason),
  });
  return {
    actions: fleet,
    isRemote: false,
    watch: (id, signal) => watch(fleet, id, signal),
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

async function* watch(fleet: Fleet, id: string, signal: AbortSignal): AsyncGenerator<EvacuationView> {
  let happened = Promise.withResolvers<void>();
  const waiting: EvacuationView[] = [];
  const forget = fleet.events.listen((event) => {
    if (event.kind !== 'evacuationChanged' || event.evacuation.id !== id) return;
    waiting.push(event.evacuation);
    happened.resolve();
  });
  signal.addEventListener('abort', () => happened.resolve(), { once: true });
  try {
    waiting.push(await fleet.showEvacuation(id));
    while (!signal.aborted) {
      const next = waiting.shift();
      if (next) {
        yield next;
        if (next.endedAtMs !== null) return;
      } else {
        await happened.promise;
        happened = Promise.withResolvers<void>();
      }
    }
  } finally {
    forget();
  }
}
