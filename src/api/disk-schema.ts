/** Disks of a migration as the API speaks of them. */
import { z } from 'zod';
import { DISK_MODES, SOURCE_DISKS } from '../migration/request.ts';
import { choice, text } from './field.ts';
import { AbsolutePath } from './vm-schema.ts';

const diskModes = [...DISK_MODES] as ['auto', 'shared', 'pre-copy'];
const sourceDisks = [...SOURCE_DISKS] as ['keep', 'delete'];

/** Of a request. */
export const DISK_FIELDS = {
  disks: choice(diskModes)
    .optional()
    .describe(
      'Default auto: disks that are not proved to be the same at the destination are copied while the VM runs.',
    ),
  diskPaths: z
    .record(text('give the name of a disk'), AbsolutePath, { error: 'give paths by the names of disks' })
    .optional()
    .describe(
      'Where disks are to be at the destination, by their names, such as `{"virtio-disk0": "/images/web1.img"}`.',
    ),
  sourceDisks: choice(sourceDisks)
    .optional()
    .describe('What becomes of images that were copied, once the VM has left for good. Default keep.'),
} as const;

/** Of the options that a migration has. */
export const DISK_OPTIONS = {
  disks: z.enum(diskModes),
  diskPaths: z.record(z.string(), z.string()),
  sourceDisks: z.enum(sourceDisks),
} as const;

export const DiskProgressSchema = z
  .object({
    name: z.string(),
    totalBytes: z.number().describe('Of what there is to copy, which grows as the VM writes.'),
    copiedBytes: z.number(),
    bytesPerSecond: z.number().describe('On the wire, since its copy began.'),
  })
  .meta({ id: 'DiskProgress' });

export const DiskReportSchema = z
  .object({
    name: z.string(),
    how: z.enum(['shared', 'pre-copy']).describe('`shared`: the same image at both hosts, nothing was copied.'),
    from: z.string(),
    to: z.string().describe('Its image at the destination.'),
    bytes: z.number().describe('What the guest sees of it.'),
    wireBytes: z.number(),
    ms: z.number().describe('From the beginning of its copy until the VM stood still.'),
    bytesPerSecond: z.number(),
    copyMode: z.enum(['background', 'write-blocking']).nullable().describe('In the end; docs/disks.md.'),
    finishMs: z
      .number()
      .nullable()
      .describe('Of the downtime, for its last blocks; at the same time as the last pages.'),
  })
  .meta({ id: 'DiskReport' });

export const DiskRequestsSchema = z
  .array(
    z.object({
      disk: z.string(),
      image: z.string(),
      cancelled: z.number(),
      drained: z.string().nullable().describe('Why requests were waited for; null: none had to be.'),
    }),
  )
  .readonly()
  .describe('What became of the requests that a disk had under way when the VM was stopped.');
