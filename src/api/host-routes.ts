/** Routes about the daemon itself: /v1/host, /healthz, /metrics. */
import { z } from 'zod';
import { CommonalitySchema } from './commonality-schema.ts';
import { HostSchema, TuneHostSchema } from './host-schema.ts';
import { OutlookSchema } from './outlook-schema.ts';
import { errors, type Routes, switchParam } from './routes.ts';
import type { HostService } from './service.ts';

const LIMIT_FIX = 'give a whole number of bytes from 1 on';
const limitOfContents = z.coerce.number({ error: LIMIT_FIX }).int({ error: LIMIT_FIX }).min(1, { error: LIMIT_FIX });

export function addHostRoutes(routes: Routes, service: HostService): void {
  routes.get(
    '/v1/host',
    {
      config: { right: 'read' },
      schema: { tags: ['host'], summary: 'This host', response: { 200: HostSchema, ...errors } },
    },
    () => service.host(),
  );
  routes.patch(
    '/v1/host',
    {
      config: { right: 'operate' },
      schema: {
        tags: ['host'],
        summary: 'Change the bandwidth limit of all migrations',
        body: TuneHostSchema,
        response: { 200: HostSchema, ...errors },
      },
    },
    (request) => service.tuneHost(request.body),
  );
  routes.get(
    '/v1/outlook',
    {
      config: { right: 'read' },
      schema: {
        tags: ['host'],
        summary:
          'What a planner is told of this host and its VMs; with `?brief` without what is in their memory, with `?contentsAfter` only with what is new of that, with `?contentsLimit` no more bytes of it in one answer',
        querystring: z.object({
          brief: switchParam,
          contentsAfter: z.string().max(100).optional(),
          contentsLimit: limitOfContents.optional(),
        }),
        response: { 200: OutlookSchema, ...errors },
      },
    },
    ({ query: { brief, ...contents } }) => service.outlook({ isBrief: brief, ...contents }),
  );
  routes.get(
    '/v1/commonality',
    {
      config: { right: 'read' },
      schema: {
        tags: ['host'],
        summary: 'What the VMs of this host have in common, as matrices',
        querystring: z.object({ exact: switchParam }),
        response: { 200: CommonalitySchema, ...errors },
      },
    },
    (request) => service.commonality(request.query.exact),
  );
  routes.get(
    '/healthz',
    {
      config: { right: 'any token' },
      schema: {
        tags: ['host'],
        summary: 'Answers while the daemon lives',
        response: { 200: z.object({ ok: z.boolean(), serves: z.literal('host') }) },
      },
    },
    () => ({ ok: true, serves: 'host' as const }),
  );
  routes.get(
    '/metrics',
    {
      config: { right: 'read' },
      schema: {
        tags: ['host'],
        summary: 'Metrics in Prometheus text format (docs/operations.md)',
        response: { 200: { description: 'Metrics', content: { 'text/plain': { schema: z.string() } } } },
      },
    },
    async (_request, reply) => {
      // The content type makes fastify send the text as it is, not as JSON.
      return reply
        .header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
        .serializer((text: string) => text)
        .send(await service.metrics());
    },
  );
}
