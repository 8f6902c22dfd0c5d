/**
 * What the controller's event stream tells: everything that changes in a fleet.
 *
 * Must hold: an event carries the whole new state of what changed, so a reader that missed some is right again with the next one.
 */
import { z } from 'zod';
import { BalanceSchema } from './balance-schema.ts';
import { EvacuationSchema } from './evacuation-schema.ts';
import { EventBodySchema } from './event-schema.ts';
import { ControllerSchema, FleetHostSchema, FleetVmSchema } from './fleet-schema.ts';

export const FleetEventBodySchema = z.discriminatedUnion('kind', [
  /** With all of its VMs: one that is not among them is not there any more. */
  z.object({ kind: z.literal('fleetHostChanged'), host: FleetHostSchema, vms: z.array(FleetVmSchema) }),
  /** One that had registered, and is known no more. */
  z.object({ kind: z.literal('fleetHostForgotten'), host: z.string() }),
  /** What a host's own event stream tells: above all its migrations. */
  z.object({ kind: z.literal('hostEvent'), host: z.string(), event: EventBodySchema }),
  z.object({ kind: z.literal('evacuationChanged'), evacuation: EvacuationSchema }),
  z.object({ kind: z.literal('balanced'), balance: BalanceSchema }),
  z.object({ kind: z.literal('controllerChanged'), controller: ControllerSchema }),
  z.object({ kind: z.literal('eventsMissed'), reason: z.string() }),
]);

export type FleetEventBody = z.output<typeof FleetEventBodySchema>;
export type FleetEvent = FleetEventBody & {
  /** Opaque; goes back as `Last-Event-ID`. */
  readonly id: string;
  /** Unix milliseconds. */
  readonly atMs: number;
};
