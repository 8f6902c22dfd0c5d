/** Routes about VMs: /v1/vms and everything below it. */
import { Readable } from 'node:stream';
import { z } from 'zod';
import { CheckResultSchema, CheckSchema } from './check-schema.ts';
import { HistorySchema } from './history-schema.ts';
import { neededByBody } from './migration-right.ts';
import { MigrateSchema, MigrationSchema } from './migration-schema.ts';
import { errors, NameParams, type Routes, switchParam } from './routes.ts';
import type { HostService } from './service.ts';
import { UpgradeReportSchema, UpgradeSchema } from './upgrade-schema.ts';
import { AdoptSchema, StopSchema, VmSchema, VmSpecSchema } from './vm-schema.ts';

const tags = ['vms'];
const ConsoleQuery = z.object({
  follow: switchParam,
  tail: z.coerce
    .number({ error: 'give a number of bytes' })
    .int()
    .min(0)
    .max(2 ** 40)
    .optional(),
});
const EmptyBody = z.object({}).loose();

export function addVmRoutes(routes: Routes, service: HostService): void {
  routes.get(
    '/v1/vms',
    {
      config: { right: 'read' },
      schema: { tags, summary: 'All VMs of this host', response: { 200: z.array(VmSchema), ...errors } },
    },
    () => service.listVms(),
  );
  routes.post(
    '/v1/vms',
    {
      config: { right: 'operate' },
      schema: { tags, summary: 'Create and start a VM', body: VmSpecSchema, response: { 201: VmSchema, ...errors } },
    },
    async (request, reply) => {
      const vm = await service.createVm(request.body);
      return reply.code(201).header('location', `/v1/vms/${vm.name}`).send(vm);
    },
  );
  routes.post(
    '/v1/vms/adopt',
    {
      config: { right: 'operate' },
      schema: {
        tags,
        summary: 'Take over a QEMU that somebody else started',
        body: AdoptSchema,
        response: { 201: VmSchema, ...errors },
      },
    },
    async (request, reply) => {
      const vm = await service.adoptVm(request.body);
      return reply.code(201).header('location', `/v1/vms/${vm.name}`).send(vm);
    },
  );
  routes.get(
    '/v1/vms/:name',
    {
      config: { right: 'read' },
      schema: { tags, summary: 'One VM', params: NameParams, response: { 200: VmSchema, ...errors } },
    },
    (request) => service.showVm(request.params.name),
  );
  routes.get(
    '/v1/vms/:name/history',
    {
      config: { right: 'read' },
      schema: {
        tags,
        summary: 'How it has been writing to its memory',
        params: NameParams,
        response: { 200: HistorySchema, ...errors },
      },
    },
    (request) => service.historyOfVm(request.params.name),
  );
  routes.delete(
    '/v1/vms/:name',
    {
      config: { right: 'operate' },
      schema: {
        tags,
        summary: 'Forget a VM whose QEMU has ended, with its files',
        params: NameParams,
        response: { 204: z.undefined().describe('Forgotten'), ...errors },
      },
    },
    async (request, reply) => {
      await service.removeVm(request.params.name);
      return reply.code(204).send();
    },
  );
  routes.get(
    '/v1/vms/:name/console',
    {
      config: { right: 'read' },
      schema: {
        tags,
        summary: 'What the guest has written to its console, and on with `?follow`',
        params: NameParams,
        querystring: ConsoleQuery,
        response: {
          200: { description: 'Console text', content: { 'text/plain': { schema: z.string() } } },
          ...errors,
        },
      },
    },
    (request, reply) => {
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      const { follow, tail } = request.query;
      // The VM is looked up here, before the first byte, so that an unknown name is an error and not an empty text.
      service.showVm(request.params.name);
      const chunks = service.readConsole(request.params.name, {
        follow,
        signal: gone.signal,
        ...(tail === undefined ? {} : { tailBytes: tail }),
      });
      reply.header('content-type', 'text/plain; charset=utf-8').header('x-accel-buffering', 'no');
      void reply.send(Readable.from(chunks, { objectMode: false }) as unknown as string);
    },
  );
  addVmActions(routes, service);
}

function addVmActions(routes: Routes, service: HostService): void {
  const simple = { tags, params: NameParams, body: EmptyBody, response: { 200: VmSchema, ...errors } };
  routes.post(
    '/v1/vms/:name/actions/pause',
    { config: { right: 'operate' }, schema: { ...simple, summary: 'Pause' } },
    (request) => service.pauseVm(request.params.name),
  );
  routes.post(
    '/v1/vms/:name/actions/resume',
    { config: { right: 'operate' }, schema: { ...simple, summary: 'Resume' } },
    (request) => service.resumeVm(request.params.name),
  );
  routes.post(
    '/v1/vms/:name/actions/kill',
    { config: { right: 'operate' }, schema: { ...simple, summary: 'End QEMU at once' } },
    (request) => service.killVm(request.params.name),
  );
  routes.post(
    '/v1/vms/:name/actions/stop',
    {
      config: { right: 'operate' },
      schema: { ...simple, summary: 'Power down; force after a time', body: StopSchema },
    },
    (request) => service.stopVm(request.params.name, request.body.timeoutMs),
  );
  routes.post(
    '/v1/vms/:name/actions/upgrade',
    {
      config: { right: 'operate' },
      schema: {
        tags,
        summary: 'Replace its QEMU while it runs; answers when that is done',
        params: NameParams,
        body: UpgradeSchema,
        response: { 200: UpgradeReportSchema, ...errors },
      },
    },
    (request) => service.upgradeVm(request.params.name, request.body),
  );
  routes.post(
    '/v1/vms/:name/actions/cancel-upgrade',
    {
      config: { right: 'operate' },
      schema: { ...simple, summary: 'Keep the old QEMU, if the new one does not have the VM yet' },
    },
    (request) => service.cancelUpgrade(request.params.name),
  );
  routes.post(
    '/v1/vms/:name/actions/check',
    {
      config: { right: 'migrate-send' },
      schema: {
        tags,
        summary: 'What would block a migration, before any byte moves',
        params: NameParams,
        body: CheckSchema,
        response: { 200: CheckResultSchema, ...errors },
      },
    },
    async (request) =>
      (await service.checkVm(request.params.name, request.body.to)) as z.output<typeof CheckResultSchema>,
  );
  routes.post(
    '/v1/vms/:name/actions/migrate',
    {
      config: { right: 'migrate-send', alsoNeeds: ({ body }) => neededByBody(body) },
      schema: {
        tags,
        summary: 'Start a migration; with `?wait` answer when it has ended',
        params: NameParams,
        querystring: z.object({ wait: switchParam }),
        body: MigrateSchema,
        response: { 200: MigrationSchema, 202: MigrationSchema, ...errors },
      },
    },
    async (request, reply) => {
      const started = await service.migrateVm(request.params.name, request.body);
      reply.header('location', `/v1/migrations/${started.id}`);
      if (!request.query.wait) return reply.code(202).send(started);
      return reply.code(200).send(await service.waitForMigration(started.id));
    },
  );
}
