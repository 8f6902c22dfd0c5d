/** Routes about evacuations: /v1/evacuations and everything below it. */
import { z } from 'zod';
import { EvacuateSchema, EvacuationSchema } from './evacuation-schema.ts';
import type { FleetService } from './fleet-service.ts';
import { errors, IdParams, limitParam, type Routes } from './routes.ts';

const tags = ['evacuations'];

export function addEvacuationRoutes(routes: Routes, service: FleetService): void {
  routes.post(
    '/v1/evacuations',
    {
      config: { right: 'migrate-send' },
      schema: {
        tags,
        summary: 'Evacuate a host, or some of its VMs; it is carried out by the controller that leads',
        body: EvacuateSchema,
        response: { 202: EvacuationSchema, ...errors },
      },
    },
    async (request, reply) => {
      const evacuation = await service.evacuate(request.body);
      return reply.code(202).header('location', `/v1/evacuations/${evacuation.id}`).send(evacuation);
    },
  );
  routes.get(
    '/v1/evacuations',
    {
      config: { right: 'read' },
      schema: {
        tags,
        summary: 'Evacuations that go on and the last that ended, newest first',
        querystring: z.object({ limit: limitParam }),
        response: { 200: z.array(EvacuationSchema), ...errors },
      },
    },
    (request) => service.listEvacuations(request.query.limit),
  );
  const one = { tags, params: IdParams, response: { 200: EvacuationSchema, ...errors } };
  routes.get(
    '/v1/evacuations/:id',
    { config: { right: 'read' }, schema: { ...one, summary: 'One evacuation' } },
    (request) => service.showEvacuation(request.params.id),
  );
  routes.post(
    '/v1/evacuations/:id/actions/cancel',
    {
      config: { right: 'migrate-send' },
      schema: {
        ...one,
        summary: 'Cancel what runs, begin nothing more; VMs that have arrived stay there',
        body: z.object({}).loose(),
      },
    },
    (request) => service.cancelEvacuation(request.params.id),
  );
}
