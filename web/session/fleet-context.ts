/** The page's one connection to a controller, for every component of a fleet. */
import { createContext, useContext, useSyncExternalStore } from 'react';
import type { FleetCalls } from '../../src/client/fleet-calls.ts';
import type { FleetState } from './fleet-state.ts';
import type { FleetStore } from './fleet-store.ts';

export const FleetContext: React.Context<FleetStore | null> = createContext<FleetStore | null>(null);

export function useFleetState(): FleetState {
  const store = useFleetStore();
  return useSyncExternalStore(store.subscribe, store.snapshot);
}

export function useFleetCalls(): FleetCalls {
  return useFleetStore().calls;
}

function useFleetStore(): FleetStore {
  const store = useContext(FleetContext);
  if (store === null) throw new Error('There is no fleet store around this component');
  return store;
}
