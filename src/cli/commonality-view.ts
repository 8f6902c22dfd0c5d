/** What the VMs of a host have in common as text: a row for each pair, the most alike first. */
import type { CommonalityView } from '../api/commonality-schema.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { formatSize } from '../base/units.ts';
import { renderTable } from './table.ts';

export function renderHostCommonality(view: CommonalityView): string {
  const { vms, grains, sameMemory, isExact, leftOut } = view;
  const finest = grains.at(-1)!;
  const pairs = vms.flatMap((_, a) => vms.slice(a + 1).map((__, step) => ({ a, b: a + step + 1 })));
  const rows = pairs
    .toSorted((one, other) => finest.common[other.a]![other.b]! - finest.common[one.a]![one.b]!)
    .map(({ a, b }) => [
      ...[vms[a]!, vms[b]!],
      ...grains.map(({ common, standardError }) => {
        const error = isExact ? '' : ` ± ${formatSize(standardError[a]![b]!)}`;
        const smaller = Math.min(common[a]![a]!, common[b]![b]!);
        return `${formatSize(common[a]![b]!)}${error} (${percent(common[a]![b]!, smaller)})`;
      }),
      formatSize(sameMemory[a]![b]!),
    ]);
  const titles = grains.map(({ grainBytes }) =>
    grainBytes === PAGE_SIZE ? 'PAGES' : `${formatSize(grainBytes)} BLOCKS`,
  );
  const table = renderTable(
    [
      { title: 'VM' },
      { title: 'VM' },
      ...[...titles, 'SAME MEMORY'].map((title) => ({ title, align: 'right' as const })),
    ],
    rows,
  );
  return [
    rows.length === 0 ? 'There are no two VMs to compare.' : table,
    ...(isExact ? grains.flatMap(({ grainBytes, refuted }) => tellRefuted(grainBytes, refuted)) : []),
    ...leftOut.map(({ vm, reason }) => `${vm} is left out: ${reason}`),
  ].join('\n');
}

function tellRefuted(grainBytes: number, refuted: number): string[] {
  if (refuted === 0) return [];
  return [`${refuted} blocks of ${formatSize(grainBytes)} looked alike and were not: their VMs wrote meanwhile`];
}

function percent(part: number, whole: number): string {
  return `${whole === 0 ? 0 : Math.min(100, Math.round((100 * part) / whole))} %`;
}
