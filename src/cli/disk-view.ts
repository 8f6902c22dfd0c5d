/** The disks of a migration's report as text. */
import type { ReportView } from '../api/migration-schema.ts';
import { formatDuration, formatRate, formatSize } from '../base/units.ts';

export function diskLines({ disks }: Pick<ReportView, 'disks'>): string[] {
  return disks.map((disk, index) => `  ${index === 0 ? 'disks' : '     '}       ${diskLine(disk)}`);
}

function diskLine({
  name,
  how,
  from,
  to,
  bytes,
  wireBytes,
  ms,
  bytesPerSecond,
  copyMode,
}: ReportView['disks'][number]): string {
  if (how === 'shared') return `${name}: ${from} at both hosts`;
  const place = to === from ? '' : ` to ${to}`;
  const rate = `${formatSize(wireBytes)} in ${formatDuration(ms)} (${formatRate(bytesPerSecond)})`;
  return `${name}: copied${place}, ${rate} for ${formatSize(bytes)}${copyMode === null ? '' : `, ${copyMode}`}`;
}
