/** The replacing of a VM's QEMU as the API speaks of it. */
import { z } from 'zod';
import { strictObject, text } from './field.ts';
import { VM_STATES } from './vm-schema.ts';

const QEMU_FIX = 'give the absolute path of a QEMU binary, or a name to look up in PATH';

export const UpgradeSchema = strictObject({
  qemu: text(QEMU_FIX)
    .regex(/^(\/[^\0]*|[^/\0]+)$/, { error: QEMU_FIX })
    .optional()
    .describe(
      'The new QEMU binary: an absolute path, or a name looked up in PATH. Default: the file that the VM was started from, as it is now.',
    ),
}).meta({ id: 'UpgradeRequest', description: "Replaces a VM's QEMU while it runs." });

export type UpgradeBody = z.output<typeof UpgradeSchema>;

const NamedQemuSchema = z.object({ binary: z.string(), version: z.string() });

export const UpgradeReportSchema = z
  .object({
    vm: z.string(),
    state: z.enum(VM_STATES).describe('Of the VM, in the new QEMU.'),
    wasRunning: z.boolean().describe('Before. One that was not stays as it was.'),
    pid: z.number().describe('Process id of the new QEMU.'),
    from: NamedQemuSchema.describe('The binary that ran, and its version.'),
    to: NamedQemuSchema.describe('The binary that runs now, and its version.'),
    downtimeMs: z
      .number()
      .nullable()
      .describe(
        "How long the guest stood still, by QEMU's own events; null for one that did not run, and where nobody could measure it: see state.",
      ),
    saveMs: z.number().describe('Of it: until the old QEMU had written the state of its devices.'),
    loadMs: z.number().describe('Of it: until the new one had loaded them.'),
    commitMs: z.number().describe('Of it: writing down that the new one has the VM.'),
    resumeMs: z.number().describe('Until the new one had answered that it runs the VM.'),
    totalMs: z.number().describe('From the request to the end of the old QEMU.'),
    stateBytes: z.number().describe('State of the devices that went from one to the other.'),
    memoryCopiedBytes: z.literal(0).describe('The new QEMU has the memory that the old one had.'),
    notes: z.array(z.string()).describe('What differs for people, and what could not be done.'),
  })
  .meta({ id: 'UpgradeReport' });

export type UpgradeReportView = z.output<typeof UpgradeReportSchema>;
