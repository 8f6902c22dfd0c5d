/**
 * Server-sent events: /v1/events for everything, /v1/migrations/{id}/events for one migration until it has ended.
 */
import { z } from 'zod';
import { type HostEvent, migrationOfEvent, vmOfEvent } from './event-schema.ts';
import { eventStream, streamEvents } from './event-stream.ts';
import { IdParams, type Routes } from './routes.ts';
import type { HostService } from './service.ts';

const EventsQuery = z.object({ vm: z.string().optional(), migration: z.string().optional() });

export function addEventRoutes(routes: Routes, service: HostService): void {
  routes.get(
    '/v1/events',
    {
      config: { right: 'read' },
      schema: {
        tags: ['events'],
        summary: 'Everything that changes, as server-sent events; `Last-Event-ID` replays what was missed',
        querystring: EventsQuery,
        response: eventStream,
      },
    },
    (request, reply) => {
      const { vm, migration: given } = request.query;
      // Its first characters do, as everywhere.
      const migration = given === undefined ? undefined : service.showMigration(given).id;
      const wanted = (event: HostEvent): boolean =>
        event.kind === 'eventsMissed' ||
        ((vm === undefined || vmOfEvent(event) === vm) &&
          (migration === undefined || migrationOfEvent(event) === migration));
      streamEvents(service.events, request, reply, { wanted, first: [], last: () => false });
    },
  );
  routes.get(
    '/v1/migrations/:id/events',
    {
      config: { right: 'read' },
      schema: {
        tags: ['events'],
        summary: 'One migration: its present state first, then what happens, until it has ended',
        params: IdParams,
        response: eventStream,
      },
    },
    (request, reply) => {
      const migration = service.showMigration(request.params.id);
      const ended = migration.state !== 'running';
      const first: HostEvent = {
        kind: ended ? 'migrationEnded' : 'migrationStarted',
        migration,
        id: '',
        atMs: Date.now(),
      };
      streamEvents(service.events, request, reply, {
        wanted: (event) => migrationOfEvent(event) === migration.id,
        first: [first],
        last: (event) => event.kind === 'migrationEnded',
      });
    },
  );
}
