/** Routes about groups of VMs that share memory: /v1/groups. */
import { z } from 'zod';
import { GroupDetailSchema, GroupSchema } from './group-schema.ts';
import { errors, NameParams, type Routes } from './routes.ts';
import type { HostService } from './service.ts';

const tags = ['groups'];

export function addGroupRoutes(routes: Routes, service: HostService): void {
  routes.get(
    '/v1/groups',
    {
      config: { right: 'read' },
      schema: {
        tags,
        summary: 'All groups of VMs that share memory',
        response: { 200: z.array(GroupSchema), ...errors },
      },
    },
    () => service.listGroups(),
  );
  routes.get(
    '/v1/groups/:name',
    {
      config: { right: 'read' },
      schema: {
        tags,
        summary: 'One group, by the name of any of its regions, and who else uses its memory',
        params: NameParams,
        response: { 200: GroupDetailSchema, ...errors },
      },
    },
    (request) => service.showGroup(request.params.name),
  );
}
