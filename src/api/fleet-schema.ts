/**
 * A fleet as the controller's API shows it: hosts, VMs, migrations that run.
 *
 * Must hold: what a host told before it fell silent is still shown, and that it is silent is shown with it.
 */
import { z } from 'zod';
import { flag, strictObject, text } from './field.ts';
import { MigrationSchema } from './migration-schema.ts';

export const HOST_STATES = ['up', 'silent', 'refusing'] as const;

/** Of a host, the newest that it has told. */
export const PressureSchema = z
  .object({
    cpus: z.number(),
    cpuPart: z.number().describe('Of its CPUs’ time, 0 to 1, mean of the last minute.'),
    memoryBytes: z.number().describe('All that it has.'),
    memoryPart: z.number().describe('Of it what is taken, 0 to 1.'),
    cpuStallPart: z
      .number()
      .nullable()
      .describe('Of the last minute, in which something waited for a CPU (PSI); null: this kernel does not tell.'),
    memoryStallPart: z.number().nullable().describe('The same for memory.'),
  })
  .describe('How busy it is.');
export type PressureView = z.output<typeof PressureSchema>;

const LabelsSchema = z.record(z.string(), z.string()).describe('From the fleet file.');

export const MaintenanceSchema = z.object({
  sinceMs: z.number(),
  reason: z.string().nullable(),
});

export const FleetHostSchema = z
  .object({
    name: z.string(),
    api: z.string().describe('Where its own API is; /v1/hosts/{name}/api leads there.'),
    migration: z.string().nullable().describe('HOST:PORT at which other hosts reach its migration port.'),
    state: z.enum(HOST_STATES).describe('`silent`: it does not answer; `refusing`: it answers with an error.'),
    failure: z.string().nullable().describe('Why it is not up.'),
    heardAtMs: z.number().nullable().describe('When it answered last.'),
    takesVms: z.boolean().describe('By the fleet file, its maintenance mark, and whether it is being evacuated.'),
    maintenance: MaintenanceSchema.nullable().describe('null: it is not marked.'),
    labels: LabelsSchema,
    registration: z
      .object({
        sinceMs: z.number().describe('When its daemon began.'),
        beats: z.boolean().nullable().describe('Its daemon beats over NATS; null: it is not known yet.'),
      })
      .nullable()
      .describe('It has registered by itself; null: it is known from the fleet file.'),
    memoryBytes: z.number().describe('For VMs, those that are here included.'),
    takenBytes: z.number().describe('What its VMs hold.'),
    rateBytesPerSecond: z.number().describe('Of its network port, each way.'),
    bandwidthBytesPerSecond: z.number().describe('Its limit for all migrations away from it; 0 is unlimited.'),
    pressure: PressureSchema.nullable(),
    vms: z.number(),
  })
  .meta({ id: 'FleetHost' });
export type FleetHostView = z.output<typeof FleetHostSchema>;

export const FleetVmSchema = z
  .object({
    name: z.string(),
    uuid: z.string(),
    host: z.string(),
    state: z.string().describe('As the host shows it.'),
    migration: z.string().nullable().describe('Id of the migration that has it, at its host.'),
    evacuation: z.string().nullable().describe('Id of the evacuation that it is part of.'),
    labels: LabelsSchema,
    policy: z.string().nullable().describe('The policy of the fleet file that it is migrated by.'),
    ramBytes: z.number(),
    dataBytes: z.number().describe('What it holds of a host’s memory.'),
    cpus: z.number().nullable().describe('CPUs that it uses, mean of the last minute.'),
    dirtyBytesPerSecond: z.number().describe('What it wrote when it was looked at last.'),
    period: z
      .object({
        periodMs: z.number(),
        anchorMs: z.number().describe('Unix milliseconds at which a cycle begins.'),
        profile: z.array(z.number()).readonly().describe('The rate in equal parts of a cycle, relative to its mean.'),
        quietFromMs: z.number(),
        quietMs: z.number(),
        confidence: z.number(),
      })
      .nullable()
      .describe('The rhythm in which it writes; null: none.'),
    obstacle: z.string().nullable().describe('What keeps it from being moved by itself, in words; null: nothing.'),
  })
  .meta({ id: 'FleetVm' });
export type FleetVmView = z.output<typeof FleetVmSchema>;

export const LiveMigrationSchema = z
  .object({ host: z.string().describe('Whose API knows it: its source.'), migration: MigrationSchema })
  .meta({ id: 'LiveMigration' });
export type LiveMigrationView = z.output<typeof LiveMigrationSchema>;

export const ControllerSchema = z
  .object({
    name: z.string(),
    version: z.string(),
    store: z.enum(['sqlite', 'nats']),
    storeFailure: z.string().nullable().describe('Why the store does not answer; null: it does.'),
    leads: z.boolean().describe('It does what is to be done; any controller can be asked.'),
    leader: z.string().nullable().describe('Name of the controller that leads; null: none at the moment.'),
    startedAtMs: z.number(),
  })
  .meta({ id: 'Controller' });
export type ControllerView = z.output<typeof ControllerSchema>;

export const FleetSchema = z
  .object({
    atMs: z.number().describe('When the hosts were asked.'),
    controller: ControllerSchema.nullable().describe('null: it was looked at without one.'),
    hosts: z.array(FleetHostSchema),
    vms: z.array(FleetVmSchema),
    migrations: z.array(LiveMigrationSchema).describe('Those that run.'),
    refusedRegistrations: z
      .array(z.object({ name: z.string(), reason: z.string() }))
      .describe('Registrations of hosts that are not believed.'),
  })
  .meta({ id: 'Fleet' });
export type FleetView = z.output<typeof FleetSchema>;

export const MaintenanceBodySchema = strictObject({
  on: flag().describe('Marks it, or takes the mark away.'),
  reason: text('give a text').max(200, { error: 'give at most 200 characters' }).optional(),
  evacuate: flag().optional().describe('A host that is marked is evacuated. Default: true.'),
}).meta({ id: 'MaintenanceRequest' });
export type MaintenanceBody = z.output<typeof MaintenanceBodySchema>;

export const MaintenanceAnswerSchema = z
  .object({
    host: z.string(),
    maintenance: MaintenanceSchema.nullable(),
    evacuation: z.string().nullable().describe('Id of the evacuation that this has begun.'),
  })
  .meta({ id: 'MaintenanceAnswer' });
export type MaintenanceAnswer = z.output<typeof MaintenanceAnswerSchema>;

export const ForgottenHostSchema = z.object({ host: z.string() }).meta({ id: 'ForgottenHost' });
export type ForgottenHost = z.output<typeof ForgottenHostSchema>;
