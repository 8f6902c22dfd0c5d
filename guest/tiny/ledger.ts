/**
 * What the tiny guest's disk must hold when the guest stands still (disk-workload.ts). Pure.
 */
import { SECTOR_BYTES } from './layout.ts';

/**
 * What is wrong with the disk; empty when it is as the guest left it.
 * @param disk - its first bytes, as many sectors as the guest writes
 * @param writes - that the guest has counted
 */
export function checkLedger(disk: Uint8Array, writes: number): string[] {
  const sectors = disk.length / SECTOR_BYTES;
  const view = new DataView(disk.buffer, disk.byteOffset, disk.byteLength);
  return Array.from({ length: sectors }, (_, sector) => {
    const found = wordsOf(view, sector);
    const last = writes - ((writes - sector + sectors) % sectors);
    const next = last + sectors;
    const isRight = found.size === 1 && (found.has(Math.max(0, last)) || (next === writes + 1 && found.has(next)));
    return isRight ? [] : [`sector ${sector} holds ${[...found].join(', ')}, not ${last}, of ${writes}`];
  }).flat();
}

function wordsOf(view: DataView, sector: number): Set<number> {
  const words = new Set<number>();
  for (let at = 0; at < SECTOR_BYTES; at += 4) words.add(view.getUint32(sector * SECTOR_BYTES + at, true));
  return words;
}
