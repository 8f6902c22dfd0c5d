/** Server-sent events of a fleet: /v1/events, /v1/evacuations/{id}/events, and what the controller says of itself. */
import { z } from 'zod';
import { eventStream, streamEvents } from './event-stream.ts';
import type { FleetEvent } from './fleet-event-schema.ts';
import type { FleetService } from './fleet-service.ts';
import { IdParams, type Routes } from './routes.ts';

export function addFleetEventRoutes(routes: Routes, service: FleetService): void {
  routes.get(
    '/v1/events',
    {
      config: { right: 'read' },
      schema: {
        tags: ['events'],
        summary: 'Everything that changes in the fleet, as server-sent events; `Last-Event-ID` replays what was missed',
        response: eventStream,
      },
    },
    (request, reply) =>
      streamEvents(service.events, request, reply, { wanted: () => true, first: [], last: () => false }),
  );
  routes.get(
    '/v1/evacuations/:id/events',
    {
      config: { right: 'read' },
      schema: {
        tags: ['events'],
        summary: 'One evacuation: its present state first, then what changes, until it has ended',
        params: IdParams,
        response: eventStream,
      },
    },
    async (request, reply) => {
      const evacuation = await service.showEvacuation(request.params.id);
      const first: FleetEvent = { kind: 'evacuationChanged', evacuation, id: '', atMs: Date.now() };
      streamEvents(service.events, request, reply, {
        wanted: (event) => event.kind === 'evacuationChanged' && event.evacuation.id === evacuation.id,
        first: [first],
        last: (event) => event.kind === 'evacuationChanged' && event.evacuation.endedAtMs !== null,
      });
    },
  );
  routes.get(
    '/healthz',
    {
      config: { right: 'any token' },
      schema: {
        tags: ['fleet'],
        summary: 'Answers while the controller lives',
        response: { 200: z.object({ ok: z.boolean(), serves: z.literal('fleet') }) },
      },
    },
    () => ({ ok: true, serves: 'fleet' as const }),
  );
}
