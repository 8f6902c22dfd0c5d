/**
 * What the event stream tells: everything that changes on a host.
 *
 * Must hold: an event carries the whole new state of what changed, so a reader that missed some is right again with
 * the next one.
 */
import { z } from 'zod';
import { GroupMigrationSchema } from './group-migration-schema.ts';
import { HostSchema } from './host-schema.ts';
import { MigrationSchema, ProgressSchema } from './migration-schema.ts';
import { VmSchema } from './vm-schema.ts';

export const EventBodySchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('hostChanged'), host: HostSchema }),
  z.object({ kind: z.literal('vmChanged'), vm: VmSchema }),
  z.object({ kind: z.literal('vmRemoved'), name: z.string(), reason: z.string() }),
  z.object({ kind: z.literal('migrationStarted'), migration: MigrationSchema }),
  z.object({ kind: z.literal('migrationPhaseChanged'), migrationId: z.string(), vm: z.string(), phase: z.string() }),
  z.object({
    kind: z.literal('migrationProgressed'),
    migrationId: z.string(),
    vm: z.string(),
    progress: ProgressSchema,
  }),
  z.object({
    kind: z.literal('migrationNoted'),
    migrationId: z.string(),
    vm: z.string(),
    level: z.enum(['info', 'warn']),
    text: z.string(),
  }),
  z.object({ kind: z.literal('migrationTuned'), migration: MigrationSchema }),
  z.object({ kind: z.literal('migrationEnded'), migration: MigrationSchema }),
  z.object({ kind: z.literal('groupMigrationChanged'), groupMigration: GroupMigrationSchema }),
  z.object({ kind: z.literal('eventsMissed'), reason: z.string() }),
]);

export type HostEventBody = z.output<typeof EventBodySchema>;
export type HostEvent = HostEventBody & {
  /** Opaque; goes back as `Last-Event-ID`. */
  readonly id: string;
  /** Unix milliseconds. */
  readonly atMs: number;
};

/** The migration that an event is about, or null. */
export function migrationOfEvent(event: HostEventBody): string | null {
  if ('migration' in event) return event.migration.id;
  return 'migrationId' in event ? event.migrationId : null;
}

/** The VM that an event is about, or null. */
export function vmOfEvent(event: HostEventBody): string | null {
  switch (event.kind) {
    case 'vmChanged':
      return event.vm.name;
    case 'vmRemoved':
      return event.name;
    case 'hostChanged':
    case 'groupMigrationChanged':
    case 'eventsMissed':
      return null;
    case 'migrationStarted':
    case 'migrationTuned':
    case 'migrationEnded':
      return event.migration.vm;
    default:
      return event.vm;
  }
}
