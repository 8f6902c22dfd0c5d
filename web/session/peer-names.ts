/** Migrations name the other host by its address; where the config has a name for that address, people know it by that. */
import { useCallback } from 'react';
import { useHostState } from './host-context.ts';

export function usePeerName(): (address: string) => string {
  const peers = useHostState().host?.peers;
  return useCallback(
    (address) => Object.entries(peers ?? {}).find(([, where]) => where === address)?.[0] ?? address,
    [peers],
  );
}
