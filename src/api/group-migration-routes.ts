/** Routes about migrations of groups: /v1/groups/NAME/actions/migrate and /v1/group-migrations. */
import { z } from 'zod';
import { GroupFollowSchema, GroupMigrateSchema, GroupMigrationSchema } from './group-migration-schema.ts';
import { neededByBody } from './migration-right.ts';
import { RequestIdSchema } from './order-schema.ts';
import { errors, IdParams, NameParams, type Routes } from './routes.ts';
import type { HostService } from './service.ts';

const tags = ['groups'];
const EmptyBody = z.object({}).loose();

export function addGroupMigrationRoutes(routes: Routes, service: HostService): void {
  const response = { 200: GroupMigrationSchema, ...errors };
  routes.post(
    '/v1/groups/:name/actions/migrate',
    {
      config: { right: 'migrate-send', alsoNeeds: ({ body }) => neededByBody(body) },
      schema: {
        tags,
        summary: 'Move all VMs of a group to another host, with the memory that they share',
        params: NameParams,
        body: GroupMigrateSchema,
        response,
      },
    },
    (request) => service.migrateGroup(request.params.name, request.body),
  );
  routes.get(
    '/v1/group-migrations',
    {
      config: { right: 'read' },
      schema: {
        tags,
        summary:
          'Migrations of groups that run and the last `keepReports`, newest first; only the one that a request has begun',
        querystring: z.object({ requestId: RequestIdSchema.optional() }),
        response: { 200: z.array(GroupMigrationSchema), ...errors },
      },
    },
    (request) => service.listGroupMigrations(request.query.requestId),
  );
  const one = { tags, params: IdParams, response };
  routes.get(
    '/v1/group-migrations/:id',
    { config: { right: 'read' }, schema: { ...one, summary: 'One migration of a group' } },
    (request) => service.showGroupMigration(request.params.id),
  );
  routes.post(
    '/v1/group-migrations/:id/actions/cancel',
    {
      config: { right: 'migrate-send' },
      schema: { ...one, summary: 'Cancel, before the first VM has moved', body: EmptyBody },
    },
    (request) => service.cancelGroupMigration(request.params.id),
  );
  routes.post(
    '/v1/group-migrations/:id/actions/follow',
    {
      config: { right: 'migrate-send' },
      schema: { ...one, summary: 'Call VMs that wait with `on-access` to the other host', body: GroupFollowSchema },
    },
    (request) => service.followGroup(request.params.id, request.body),
  );
}
