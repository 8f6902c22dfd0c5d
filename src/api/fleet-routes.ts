/** Routes about a whole fleet: /v1/fleet and everything below it, and the maintenance marks of hosts. */
import { z } from 'zod';
import { BalanceBodySchema, BalanceSchema } from './balance-schema.ts';
import { FleetHistorySchema } from './evacuation-schema.ts';
import { CommonPairSchema, FleetPlanSchema } from './fleet-plan-schema.ts';
import { FleetRecordingSchema } from './fleet-recording-schema.ts';
import { FleetSchema, ForgottenHostSchema, MaintenanceAnswerSchema, MaintenanceBodySchema } from './fleet-schema.ts';
import type { FleetService } from './fleet-service.ts';
import { LeaderSchema, LeadSchema } from './order-schema.ts';
import { errors, limitParam, NameParams, type Routes } from './routes.ts';

const tags = ['fleet'];
const DEADLINE_FIX = 'give milliseconds from 1 to 30 days';
const PlanQuerySchema = z.object({
  host: z.string({ error: 'give the host that all VMs leave' }),
  to: z.string().optional(),
  deadlineMs: z.coerce
    .number({ error: DEADLINE_FIX })
    .int({ error: DEADLINE_FIX })
    .min(1, { error: DEADLINE_FIX })
    .max(30 * 86_400_000, { error: DEADLINE_FIX })
    .optional(),
  skip: z
    .string()
    .transform((text) => text.split(','))
    .optional()
    .describe('VMs that stay, separated by commas.'),
  together: z
    .string()
    .transform((text) => text.split(';').map((set) => set.split(',')))
    .optional()
    .describe('VMs that go together, separated by commas; several such lists by semicolons.'),
});
const HistoryQuerySchema = z.object({
  limit: limitParam,
  vm: z.string().optional(),
  host: z.string().optional(),
});

export function addFleetRoutes(routes: Routes, service: FleetService): void {
  routes.get(
    '/v1/fleet',
    {
      config: { right: 'read' },
      schema: {
        tags,
        summary: 'Hosts, VMs and the migrations that run',
        response: { 200: FleetSchema, ...errors },
      },
    },
    () => service.fleet(),
  );
  routes.get(
    '/v1/fleet/plan',
    {
      config: { right: 'read' },
      schema: {
        tags,
        summary: 'What an evacuation of `host` would do now, and why; nothing is done',
        querystring: PlanQuerySchema,
        response: { 200: FleetPlanSchema, ...errors },
      },
    },
    (request) => service.plan(request.query),
  );
  routes.get(
    '/v1/fleet/recording',
    {
      config: { right: 'read' },
      schema: {
        tags,
        summary: 'All that a plan depends on, samples of VMs’ contents included, for `godwit fleet simulate --from`',
        response: { 200: FleetRecordingSchema, ...errors },
      },
    },
    () => service.recording(),
  );
  routes.get(
    '/v1/fleet/commonality',
    {
      config: { right: 'read' },
      schema: {
        tags,
        summary: 'What each two VMs have in common, the most alike first; only those of `host`',
        querystring: z.object({ host: z.string().optional() }),
        response: { 200: z.array(CommonPairSchema), ...errors },
      },
    },
    (request) => service.commonality(request.query.host),
  );
  routes.get(
    '/v1/fleet/history',
    {
      config: { right: 'read' },
      schema: {
        tags,
        summary: 'Migrations and evacuations that have ended, predicted and actual; of one VM or one host',
        querystring: HistoryQuerySchema,
        response: { 200: FleetHistorySchema, ...errors },
      },
    },
    (request) => service.history(request.query),
  );
  routes.post(
    '/v1/fleet/balance',
    {
      config: { right: 'migrate-send' },
      schema: {
        tags,
        summary: 'Move VMs from busy hosts to others; with `dryRun` only say which',
        body: BalanceBodySchema,
        response: { 200: BalanceSchema, ...errors },
      },
    },
    (request) => service.balance(request.body),
  );
  routes.post(
    '/v1/fleet/lead',
    {
      config: { right: 'migrate-send' },
      schema: {
        tags,
        summary:
          'Lead by a higher epoch than hosts know, where the store was restored from a backup; only at the controller that leads',
        body: LeadSchema,
        response: { 200: LeaderSchema, ...errors },
      },
    },
    (request) => service.lead(request.body),
  );
  routes.put(
    '/v1/hosts/:name/maintenance',
    {
      config: { right: 'migrate-send' },
      schema: {
        tags,
        summary: 'Mark a host for maintenance: it gets no VMs and is evacuated; or take the mark away',
        params: NameParams,
        body: MaintenanceBodySchema,
        response: { 200: MaintenanceAnswerSchema, ...errors },
      },
    },
    (request) => service.setMaintenance(request.params.name, request.body),
  );
  routes.delete(
    '/v1/hosts/:name/registration',
    {
      config: { right: 'migrate-send' },
      schema: {
        tags,
        summary:
          'Forget a host that has registered and is gone for good; refused while it beats, or an evacuation needs it',
        params: NameParams,
        response: { 200: ForgottenHostSchema, ...errors },
      },
    },
    (request) => service.forgetHost(request.params.name),
  );
}
