/** The page's one store, for every component. */
import { createContext, useContext, useSyncExternalStore } from 'react';
import type { HostCalls } from '../../src/client/host-calls.ts';
import type { HostState } from './host-state.ts';
import type { HostStore } from './host-store.ts';

export const HostContext: React.Context<HostStore | null> = createContext<HostStore | null>(null);

export function useHostStore(): HostStore {
  const store = useContext(HostContext);
  if (store === null) throw new Error('There is no host store around this component');
  return store;
}

export function useHostState(): HostState {
  const store = useHostStore();
  return useSyncExternalStore(store.subscribe, store.snapshot);
}

export function useCalls(): HostCalls {
  return useHostStore().calls;
}
