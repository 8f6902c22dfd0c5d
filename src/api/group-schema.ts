/**
 * Groups as the API speaks of them: VMs that share memory, and who else uses it.
 *
 * Owns: the view of a group.
 */
import { z } from 'zod';
import { VM_STATES } from './vm-schema.ts';

const GroupRegionSchema = z.object({
  name: z.string(),
  sizeBytes: z.number(),
  path: z.string().describe('The file that backs it on this host.'),
  vms: z.array(z.string()).describe('VMs that have it.'),
  problem: z.string().nullable().describe('Why no further VM can have it.'),
});

const GroupVmSchema = z.object({
  name: z.string(),
  state: z.enum(VM_STATES),
  pid: z.number().nullable(),
});

const GroupMoveSchema = z.object({
  id: z.string().describe("Of the group's migration, at both hosts."),
  direction: z.enum(['outgoing', 'incoming']),
  peer: z.string().describe('Name or address of the other host.'),
  waitsFor: z.string().nullable().describe('What it waits for now, and what can be done about it.'),
});

const groupFields = {
  name: z.string().describe('The first of the names of its regions; each of them finds it.'),
  regions: z.array(GroupRegionSchema).describe('Memory that VMs of the group share.'),
  vms: z.array(GroupVmSchema).describe('They move together. `arriving`: its QEMU is here and waits for the VM.'),
  migration: GroupMoveSchema.nullable().describe('The move of it that is under way.'),
};

export const GroupSchema = z
  .object(groupFields)
  .meta({ id: 'Group', description: 'VMs that share memory, directly or through others.' });

const StrangerSchema = z.object({
  pid: z.number(),
  command: z.string(),
  region: z.string(),
  use: z.enum(['maps', 'holds open']),
});

export const GroupDetailSchema = z
  .object({
    ...groupFields,
    strangers: z
      .array(StrangerSchema)
      .describe('Processes that use the memory and are no VM of the group: it cannot move.'),
  })
  .meta({ id: 'GroupDetail', description: 'One group, with everybody else who uses its memory.' });

export type GroupMoveView = z.output<typeof GroupMoveSchema>;
export type GroupView = z.output<typeof GroupSchema>;
export type GroupDetailView = z.output<typeof GroupDetailSchema>;
export type StrangerView = z.output<typeof StrangerSchema>;
