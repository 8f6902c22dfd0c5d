/** What the VMs of a host need from the rest of its daemon. */
import type { VmView } from '../api/vm-schema.ts';
import type { GodwitError } from '../base/errors.ts';
import type { IncomingPromises } from './incoming-promises.ts';
import type { Logger } from './logger.ts';

export interface RegistryOptions {
  readonly hostName: string;
  readonly stateDirectory: string;
  /** The secret of the fleet, whose name space MAC addresses are drawn from; null: each host has its own. */
  readonly fleetKey: string | null;
  readonly promises: IncomingPromises;
  readonly log: Logger;
  changed(vm: VmView): void;
  removed(name: string, reason: string): void;
  absenceOf(name: string): GodwitError;
}
