/**
 * Other hosts as the present one can reach them: those that its config names, and those of its fleet.
 *
 * Must hold: migrations name the other host by its address; where it is known people see its name.
 */
import { useCallback, useContext, useSyncExternalStore } from 'react';
import type { FleetHostView } from '../../src/api/fleet-schema.ts';
import { FleetContext } from './fleet-context.ts';
import { useHostState } from './host-context.ts';

export interface KnownHost {
  readonly name: string;
  /** HOST:PORT of its migration port. */
  readonly address: string;
  /** What a request names it by. */
  readonly to: string;
}

const NO_HOSTS: readonly FleetHostView[] = [];

export function useKnownHosts(): readonly KnownHost[] {
  const { host } = useHostState();
  const fleet = useContext(FleetContext);
  const others = useSyncExternalStore(
    fleet?.subscribe ?? subscribeToNothing,
    () => fleet?.snapshot().hosts ?? NO_HOSTS,
  );
  const peers = Object.entries(host?.peers ?? {}).map(([name, address]) => ({ name, address, to: name }));
  const ofFleet = others.flatMap(({ name, migration, takesVms }) =>
    migration === null || !takesVms || name === host?.name || peers.some((peer) => peer.name === name)
      ? []
      : [{ name, address: migration, to: migration }],
  );
  return [...peers, ...ofFleet];
}

export function usePeerName(): (address: string) => string {
  const known = useKnownHosts();
  return useCallback((address) => known.find((each) => each.address === address)?.name ?? address, [known]);
}

function subscribeToNothing(): () => void {
  return () => undefined;
}
