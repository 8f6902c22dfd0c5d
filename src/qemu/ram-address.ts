/**
 * Asks QEMU itself where a memory backend lies in its address space.
 *
 * For the rare VM with several backends of one size whose files have no telling name (memfd). The monitor's text is
 * all that QEMU 7.2 offers: `info mtree -f` (guest addresses of a region) and `gpa2hva` (memory.c, monitor/misc.c).
 */
import type { QmpClient } from './qmp.ts';

/** Address of the backend's first byte in QEMU, or undefined when the guest sees none of it now. */
export async function askBackendAddress(qmp: QmpClient, id: string): Promise<bigint | undefined> {
  const place = findInTree(await monitor(qmp, 'info mtree -f'), id);
  if (place === undefined) return undefined;
  const answer = await monitor(qmp, `gpa2hva 0x${place.guestAddress.toString(16)}`);
  const address = / is 0x([0-9a-f]+)/.exec(answer)?.[1];
  return address === undefined ? undefined : BigInt(`0x${address}`) - place.offset;
}

/** The first piece of the region: `  START-END (prio 0, ram): ID @OFFSET`; the offset is left out when 0. */
export function findInTree(tree: string, id: string): { guestAddress: bigint; offset: bigint } | undefined {
  for (const line of tree.split('\n')) {
    const fields = /^\s*([0-9a-f]{16})-[0-9a-f]{16} \(prio -?\d+, \w+\): (.+?)(?: @([0-9a-f]{16}))?(?: KVM)?\s*$/.exec(
      line,
    );
    if (fields?.[2] !== id) continue;
    return { guestAddress: BigInt(`0x${fields[1]}`), offset: BigInt(`0x${fields[3] ?? '0'}`) };
  }
  return undefined;
}

function monitor(qmp: QmpClient, line: string): Promise<string> {
  return qmp.execute<string>('human-monitor-command', { 'command-line': line });
}
