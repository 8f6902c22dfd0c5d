/**
 * Server-sent events: /v1/events for everything, /v1/migrations/{id}/events for one migration until it has ended.
 *
 * Must hold: a reader too slow to keep up is cut off rather than kept in memory; it comes back with Last-Event-ID. Nothing
 * is written to a stream that has been ended: that would be an error of the whole daemon.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type HostEvent, migrationOfEvent, vmOfEvent } from './event-schema.ts';
import { HEARTBEAT_MS } from './keep-alive.ts';
import { IdParams, type Routes } from './routes.ts';
import type { HostService } from './service.ts';

const MAX_UNSENT_BYTES = 4 * 1024 * 1024;

const EventsQuery = z.object({ vm: z.string().optional(), migration: z.string().optional() });
const stream = {
  200: { description: 'Events (docs/api.md)', content: { 'text/event-stream': { schema: z.string() } } },
};

export function addEventRoutes(routes: Routes, service: HostService): void {
  routes.get(
    '/v1/events',
    {
      schema: {
        tags: ['events'],
        summary: 'Everything that changes, as server-sent events; `Last-Event-ID` replays what was missed',
        querystring: EventsQuery,
        response: stream,
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
      streamEvents(service, request, reply, { wanted, first: [], last: () => false });
    },
  );
  routes.get(
    '/v1/migrations/:id/events',
    {
      schema: {
        tags: ['events'],
        summary: 'One migration: its present state first, then what happens, until it has ended',
        params: IdParams,
        response: stream,
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
      streamEvents(service, request, reply, {
        wanted: (event) => migrationOfEvent(event) === migration.id,
        first: [first],
        last: (event) => event.kind === 'migrationEnded',
      });
    },
  );
}

/** One event in the text/event-stream format. */
export function formatEvent(event: HostEvent): string {
  const { id, ...body } = event;
  return `${id === '' ? '' : `id: ${id}\n`}event: ${event.kind}\ndata: ${JSON.stringify({ ...body, id })}\n\n`;
}

function streamEvents(
  service: HostService,
  request: FastifyRequest,
  reply: FastifyReply,
  options: { wanted(event: HostEvent): boolean; first: readonly HostEvent[]; last(event: HostEvent): boolean },
): void {
  reply.hijack();
  const out = reply.raw;
  out.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  out.write('retry: 1000\n\n');
  let open = true;
  const stop = (): void => {
    open = false;
    clearInterval(heartbeat);
    stopListening();
  };
  const send = (event: HostEvent): void => {
    if (!open || !options.wanted(event)) return;
    out.write(formatEvent(event));
    if (options.last(event)) {
      // Its 'close' comes a while later.
      stop();
      out.end();
    } else if (out.writableLength > MAX_UNSENT_BYTES) {
      stop();
      out.destroy();
    }
  };
  const stopListening = service.events.listen(send);
  const heartbeat = setInterval(() => out.write(': alive\n\n'), HEARTBEAT_MS);
  out.once('close', stop);
  // Of the reader's connection: it concerns nobody else.
  out.on('error', stop);
  const lastId = request.headers['last-event-id'];
  if (typeof lastId === 'string' && lastId !== '') for (const event of service.events.since(lastId)) send(event);
  for (const event of options.first) send(event);
}
