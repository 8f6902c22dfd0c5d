/**
 * VMs as the API speaks of them: the spec that one is created from, the request to adopt one, and the view of one.
 *
 * Owns: the VM spec's fields, defaults and limits (docs/spec.md).
 */
import { extname } from 'node:path';
import { z } from 'zod';
import { choice, flag, integer, list, size, strictObject, text } from './field.ts';
import { NicsSchema } from './nic-schema.ts';

const NAME_FIX = 'give 1 to 63 letters, digits, dots, dashes or underscores, the first a letter or digit';
const SHARED_SIZE_FIX = 'give a power of two from 1MiB to 1TiB, such as 16MiB, or a number of bytes';
const SHARED_NAME_FIX = 'give each shared memory of a VM a name of its own';
const ABSOLUTE_FIX = 'give the absolute path of a file on the host';

/** Names of VMs and hosts: safe as a file name, in a URL and on a command line. */
export const NameSchema = z
  .string({ error: NAME_FIX })
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, { error: NAME_FIX })
  .describe('Name of the VM, unique on its host.');

export const AbsolutePath: z.ZodString = z.string({ error: ABSOLUTE_FIX }).regex(/^\/[^\0]*$/, { error: ABSOLUTE_FIX });

const DiskSchema = strictObject({
  path: AbsolutePath.describe(
    'Image file or block device. When the VM moves it is the same at both hosts, or copied (docs/disks.md).',
  ),
  format: choice(['raw', 'qcow2']).optional().describe('Default: by the file name, `qcow2` for `.qcow2`, else `raw`.'),
  readonly: flag().optional().describe('The guest may only read it.'),
  cache: choice(['none', 'writeback', 'writethrough', 'directsync', 'unsafe'])
    .optional()
    .describe('QEMU cache mode of the disk. With `none` and `directsync` (direct I/O) the VM moves by post-copy only.'),
  bus: choice(['virtio-blk', 'virtio-scsi']).optional().describe('What the guest sees. Default: `virtio-blk`.'),
  through: choice(['qemu', 'block-server'])
    .optional()
    .describe(
      'Who reads and writes the image. With `block-server` (raw images only) requests under way when the VM moves are cancelled and sent again, not waited for (docs/disks.md). Default: `qemu`.',
    ),
}).check(({ value, issues }) => {
  if (value.through !== 'block-server') return;
  const refuse = (field: 'format' | 'cache', fix: string): void => {
    issues.push({ code: 'custom', input: value[field], path: [field], message: fix });
  };
  if (completeDisk(value).format !== 'raw') refuse('format', 'give raw: the block server serves raw images only');
  if (value.cache === undefined || value.cache === 'writeback' || value.cache === 'writethrough') return;
  refuse('cache', 'give writeback or writethrough: the block server uses the page cache of its host');
});

const SharedMemorySchema = strictObject({
  name: NameSchema.describe('VMs of one host that give the same name have the same memory.'),
  // ivshmem makes it a BAR, and the size of a BAR is a power of two.
  size: size(2 ** 20, 2 ** 40, 2 ** 20, SHARED_SIZE_FIX)
    .refine((bytes) => Number.isInteger(Math.log2(bytes)), { error: SHARED_SIZE_FIX })
    .describe('A power of two from `1MiB`; the same in all VMs that share it.'),
});

/** What a VM is made from. */
export const VmSpecSchema = strictObject({
  name: NameSchema,
  memory: size(
    4 * 2 ** 20,
    16 * 2 ** 40,
    2 ** 20,
    'give a size of whole MiB from 4MiB to 16TiB, such as 512MiB or 2GiB, or a number of bytes',
  ).describe('RAM: `512MiB`, `2GiB`, or a number of bytes.'),
  vcpus: integer(1, 512, 'give a whole number from 1 to 512').default(1).describe('Number of virtual CPUs.'),
  machine: text('give a QEMU machine type such as q35')
    .default('q35')
    .describe('QEMU machine type; the versioned type that it stands for is kept through migrations.'),
  cpu: text('give a QEMU CPU model such as qemu64')
    .default('qemu64')
    .describe(
      'QEMU CPU model. `host` and `max` differ between hosts: a VM with one moves only to a host that has it all.',
    ),
  accel: choice(['auto', 'kvm', 'tcg'])
    .default('auto')
    .describe('`auto`: KVM where the CPU has vmx or svm and /dev/kvm opens, else TCG.'),
  qemu: text('give the path or name of a QEMU binary')
    .default('qemu-system-x86_64')
    .describe('QEMU binary: a path, or a name looked up in PATH.'),
  boot: strictObject({
    kernel: AbsolutePath.describe('Linux kernel image.'),
    initrd: AbsolutePath.optional().describe('Initial RAM file system.'),
    cmdline: z.string({ error: 'give a text' }).optional().describe('Kernel command line.'),
  })
    .optional()
    .describe('Boots a kernel directly. Without it the VM boots from its disks.'),
  firmware: AbsolutePath.optional().describe('BIOS image (`-bios`).'),
  disks: list(
    z.union([DiskSchema, AbsolutePath], {
      error: 'give a path, or an object with path, format, readonly, cache, bus, through',
    }),
    'give a list of disks',
  )
    .default([])
    .describe('Disks, each a path or an object.'),
  nics: NicsSchema.default([]).describe('Network interfaces, each the name of a bridge, `user`, or an object.'),
  sharedMemory: list(SharedMemorySchema, 'give a list of objects with name and size')
    .check(({ value, issues }) => {
      for (const [index, { name }] of value.entries()) {
        if (value.findIndex((other) => other.name === name) === index) continue;
        issues.push({ code: 'custom', input: name, path: [index, 'name'], message: SHARED_NAME_FIX });
      }
    })
    .default([])
    .describe('Memory that the VM shares with other VMs of its host; the guest has it as an ivshmem PCI device.'),
  qemuArgs: list(z.string({ error: 'give a text' }), 'give a list of texts, one per argument')
    .default([])
    .describe('Further QEMU arguments, one per item.'),
}).meta({ id: 'VmSpec', description: 'What a VM is made from.' });

export type VmSpecInput = z.input<typeof VmSpecSchema>;
export type VmSpecBody = z.output<typeof VmSpecSchema>;
export type DiskBody = z.output<typeof DiskSchema>;

/** A disk given as a bare path gets its format from the file name. */
export function completeDisk(disk: string | DiskBody): DiskBody & { readonly format: 'raw' | 'qcow2' } {
  const full = typeof disk === 'string' ? { path: disk } : disk;
  return { ...full, format: full.format ?? (extname(full.path) === '.qcow2' ? 'qcow2' : 'raw') };
}

export const AdoptSchema = strictObject({
  name: NameSchema,
  pid: integer(1, 2 ** 22, 'give the process id of a running QEMU').describe('Process id of the running QEMU.'),
  qmp: AbsolutePath.describe('Path of its QMP unix socket, which nothing else may be connected to.'),
}).meta({ id: 'AdoptRequest', description: 'Takes over a QEMU that somebody else started.' });

export type AdoptBody = z.output<typeof AdoptSchema>;

export const StopSchema = strictObject({
  timeoutMs: integer(0, 86_400_000, 'give milliseconds from 0 to 86400000')
    .default(30_000)
    .describe('How long the guest may take to power down before QEMU is told to quit; 0: at once.'),
}).meta({ id: 'StopRequest' });

/**
 * `arriving` and `leaving`: a migration has the VM. `stopped`: QEMU ended because guest or user wanted it.
 * `crashed`: QEMU ended by itself or the guest panicked. `unknown`: QEMU lives but does not answer.
 */
export const VM_STATES = ['running', 'paused', 'stopped', 'crashed', 'arriving', 'leaving', 'unknown'] as const;
export type VmState = (typeof VM_STATES)[number];

export const VmEndSchema = z.object({
  atMs: z.number().describe('Unix milliseconds when it was noticed.'),
  how: z
    .enum(['guest', 'stopped', 'killed', 'crashed', 'lost'])
    .describe(
      '`guest`: the guest powered off; `stopped` and `killed`: by that command; `crashed`: QEMU ended by itself; `lost`: it ended while no daemon was there to see.',
    ),
  reason: z.string(),
});
export type VmEnd = z.output<typeof VmEndSchema>;

export const VmRegionSchema = z.object({
  name: z.string(),
  sizeBytes: z.number(),
  path: z.string().describe('The file that backs it on this host.'),
  sharedWith: z.array(z.string()).describe('Other VMs that have it.'),
});
export type VmRegionView = z.output<typeof VmRegionSchema>;

export const VmNicSchema = z.object({
  name: z.string(),
  bridge: z.string().nullable().describe("null: QEMU's own network."),
  mac: z.string(),
  mtu: z.number().describe('Largest packet in bytes that bridges must let through.'),
  tap: z.string().nullable().describe('Its interface of this host; null without a bridge.'),
  addresses: z.array(z.string()).readonly().describe('IP addresses that hosts had seen it use when the VM last moved.'),
});

export const VmSchema = z
  .object({
    name: z.string(),
    state: z.enum(VM_STATES),
    owner: z.string().describe('The host that may run it.'),
    uuid: z.string().describe('Stays the same through every migration.'),
    pid: z.number().nullable().describe('Process id of QEMU, null when there is none.'),
    qemuVersion: z.string().nullable().describe('Of the QEMU that runs it; null while that has not told.'),
    memoryBytes: z.number(),
    vcpus: z.number(),
    sharedMemory: z.array(VmRegionSchema).describe('Memory that it shares with other VMs; not part of memoryBytes.'),
    nics: z.array(VmNicSchema).readonly().describe('Its network interfaces, as far as godwit made them.'),
    epoch: z.number().describe('Grows by one with every handover.'),
    adopted: z.boolean().describe('Started by somebody else.'),
    migration: z.string().nullable().describe('Id of the migration that has it now.'),
    qmpPath: z.string().nullable(),
    consoleLogPath: z.string().nullable(),
    arrivedFrom: z.string().nullable().describe('The host it came from last.'),
    createdAtMs: z.number(),
    ended: VmEndSchema.nullable().describe('How QEMU ended, for state stopped or crashed.'),
    notes: z.array(z.string()).describe('What godwit could not do or find out about this VM.'),
  })
  .meta({ id: 'Vm', description: 'One VM of this host.' });

export type VmView = z.output<typeof VmSchema>;
