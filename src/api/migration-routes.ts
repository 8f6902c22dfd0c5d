/** Routes about migrations: /v1/migrations and everything below it. */
import { z } from 'zod';
import { GoSchema } from './hold-schema.ts';
import { neededByBody } from './migration-right.ts';
import { MigrationSchema, TuneSchema } from './migration-schema.ts';
import { RequestIdSchema } from './order-schema.ts';
import type { RouteRight } from './right.ts';
import { errors, IdParams, limitParam, type Routes } from './routes.ts';
import type { HostService } from './service.ts';

const tags = ['migrations'];
const ListQuery = z.object({ limit: limitParam, requestId: RequestIdSchema.optional() });
const EmptyBody = z.object({}).loose();

export function addMigrationRoutes(routes: Routes, service: HostService): void {
  routes.get(
    '/v1/migrations',
    {
      config: { right: 'read' },
      schema: {
        tags,
        summary: 'Migrations that run and the last that ended, newest first; only the one that a request has begun',
        querystring: ListQuery,
        response: { 200: z.array(MigrationSchema), ...errors },
      },
    },
    (request) => service.listMigrations(request.query.limit, request.query.requestId),
  );
  routes.post(
    '/v1/migrations/actions/go',
    {
      config: { right: 'migrate-send' },
      schema: {
        tags,
        summary: 'Let migrations go on that are held, all at one moment; no harm to those that are not',
        body: GoSchema,
        response: { 200: z.array(MigrationSchema), ...errors },
      },
    },
    (request) => service.letMigrationsGo(request.body.ids),
  );
  const right: RouteRight = {
    oneOf: ['migrate-send', 'migrate-receive'],
    of: (request) => {
      const { direction } = service.showMigration((request.params as z.output<typeof IdParams>).id);
      return [direction === 'incoming' ? 'migrate-receive' : 'migrate-send'];
    },
  };
  const one = { tags, params: IdParams, response: { 200: MigrationSchema, ...errors } };
  routes.get(
    '/v1/migrations/:id',
    { config: { right: 'read' }, schema: { ...one, summary: 'One migration' } },
    (request) => service.showMigration(request.params.id),
  );
  routes.post(
    '/v1/migrations/:id/actions/cancel',
    { config: { right }, schema: { ...one, summary: 'Cancel; the VM goes on at the source', body: EmptyBody } },
    (request) => service.cancelMigration(request.params.id),
  );
  routes.post(
    '/v1/migrations/:id/actions/tune',
    {
      config: { right, alsoNeeds: ({ body }) => neededByBody(body) },
      schema: { ...one, summary: 'Change bandwidth or downtime limit', body: TuneSchema },
    },
    (request) => service.tuneMigration(request.params.id, request.body),
  );
  routes.post(
    '/v1/migrations/:id/actions/switch-postcopy',
    { config: { right }, schema: { ...one, summary: 'Stop pre-copy and go on by post-copy', body: EmptyBody } },
    (request) => service.switchToPostCopy(request.params.id),
  );
}
