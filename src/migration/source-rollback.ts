/**
 * Putting the VM back at the source, as it was found.
 *
 * Must hold: a VM that ran runs on, whatever else cannot be put back: that is tried until it does, or its QEMU has ended or
 * says that the guest has.
 */
import { asGodwitError, type GodwitError } from '../base/errors.ts';
import { isAlive } from '../linux/process.ts';
import { activateDisks } from '../qemu/disk-activation.ts';
import { isEnding } from '../qemu/process.ts';
import { insist } from './insist.ts';
import type { SourceParts } from './source-parts.ts';

/**
 * @param resume - it ran until this migration stopped it
 * @throws GW_QMP_… when QEMU lives and cannot be talked to any more over this connection: another thread must, over another
 */
export async function putBack({ guest, note }: Pick<SourceParts, 'guest' | 'note'>, resume: boolean): Promise<void> {
  const { identity, qmp, vm } = guest;
  const isHopeless = ({ code }: GodwitError): boolean => code === 'GW_QEMU_STATE' || qmp.isClosed || !isAlive(identity);
  const options = { what: `Continuing VM ${vm.name}`, note, isHopeless };
  try {
    // First: QEMU lets the VM run by itself when its save is broken off.
    await guest.diskServer?.admit().catch((error: unknown) => note(asGodwitError(error).message));
    await guest.restore(async () =>
      resume ? await insist(() => guest.resume(), options) : await activateDisks(qmp, identity.pid),
    );
  } catch (error) {
    note(`Not everything could be put back: ${asGodwitError(error).message}`);
  }
  // Also where nothing has failed: what is put back in a QEMU that has ended succeeds.
  if (qmp.isClosed && !(await isEnding(identity))) throw await qmp.closed;
}
