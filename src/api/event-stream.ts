/**
 * One reader's server-sent events.
 *
 * Must hold: a reader too slow to keep up is cut off rather than kept in memory; it comes back with Last-Event-ID. Nothing
 * is written to a stream that has been ended: that would be an error of the whole daemon.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { HEARTBEAT_MS } from './keep-alive.ts';

interface StreamEvent {
  readonly id: string;
  readonly kind: string;
}

interface EventSource<Event> {
  /** What came after the event of this id. */
  since(lastId: string): Event[];
  listen(listener: (event: Event) => void): () => void;
}

const MAX_UNSENT_BYTES = 4 * 1024 * 1024;

/** What a route of events answers. */
export const eventStream = {
  200: { description: 'Events (docs/api.md)', content: { 'text/event-stream': { schema: z.string() } } },
};

/** One event in the text/event-stream format. */
export function formatEvent(event: StreamEvent): string {
  const { id, ...body } = event;
  return `${id === '' ? '' : `id: ${id}\n`}event: ${event.kind}\ndata: ${JSON.stringify({ ...body, id })}\n\n`;
}

export function streamEvents<Event extends StreamEvent>(
  source: EventSource<Event>,
  request: FastifyRequest,
  reply: FastifyReply,
  options: { wanted(event: Event): boolean; first: readonly Event[]; last(event: Event): boolean },
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
  const send = (event: Event): void => {
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
  const stopListening = source.listen(send);
  const heartbeat = setInterval(() => out.write(': alive\n\n'), HEARTBEAT_MS);
  out.once('close', stop);
  // Of the reader's connection: it concerns nobody else.
  out.on('error', stop);
  const lastId = request.headers['last-event-id'];
  if (typeof lastId === 'string' && lastId !== '') for (const event of source.since(lastId)) send(event);
  for (const event of options.first) send(event);
}
