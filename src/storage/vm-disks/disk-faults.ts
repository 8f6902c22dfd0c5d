/**
 * What tests switch off in the block servers that a daemon starts: `GODWIT_FAULT=name`, several separated by commas, in the
 * daemon's environment.
 *
 * `noDiskFence`: what the fence is for shows. `noDiskCancel`: requests are waited for, as everywhere else.
 */
export const DISK_FAULTS = ['noDiskFence', 'noDiskCancel'] as const;
export type DiskFault = (typeof DISK_FAULTS)[number];

const ordered = new Set((process.env['GODWIT_FAULT'] ?? '').split(',').map((word) => word.trim()));

export function hasDiskFault(fault: DiskFault): boolean {
  return ordered.has(fault);
}
