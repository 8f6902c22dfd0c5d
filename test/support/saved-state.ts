/** The whole device state of a VM, as a migration takes it out of QEMU but in one go. */
import { type SaveOptions, saveDeviceState } from '../../src/qemu/device-state-save.ts';
import type { QmpClient } from '../../src/qemu/qmp.ts';
import { StateOutlet } from '../../src/qemu/state-outlet.ts';

/** @param socketPath - made and removed here */
export async function* savedState(
  qmp: QmpClient,
  socketPath: string,
  options?: SaveOptions,
): AsyncGenerator<Uint8Array> {
  const save = saveDeviceState(qmp, await StateOutlet.open(socketPath), options);
  const proceeding = save.stopped.then(() => save.proceed());
  // What goes wrong is thrown by `chunks`.
  proceeding.catch(() => undefined);
  yield* save.chunks;
}
