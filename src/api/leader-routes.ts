/** Which controller leads each fleet, for hosts: /v1/leaders. */
import { z } from 'zod';
import { AcknowledgeSchema, LeaderSchema, RequestIdSchema } from './order-schema.ts';
import { errors, type Routes } from './routes.ts';
import type { HostService } from './service.ts';

export function addLeaderRoutes(routes: Routes, service: HostService): void {
  routes.put(
    '/v1/leaders/:fleet',
    {
      config: { right: 'migrate-send' },
      schema: {
        tags: ['host'],
        summary: 'A controller of this fleet leads: orders of those that led before begin nothing from now on',
        params: z.object({ fleet: RequestIdSchema }),
        body: AcknowledgeSchema,
        response: { 200: LeaderSchema, ...errors },
      },
    },
    (request) => service.acknowledgeLeader({ fleet: request.params.fleet, epoch: request.body.epoch }),
  );
}
