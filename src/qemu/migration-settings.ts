/**
 * QEMU's migration settings, borrowed for moving the device state.
 *
 * Must hold: RAM in shared files stays out of the stream (x-ignore-shared), nothing slows it down, and every setting
 * that was changed can be put back, so that a VM that stays is as it was found.
 */
import { asGodwitError, GodwitError, type JsonValue } from '../base/errors.ts';
import type { QmpClient } from './qmp.ts';

export type MigrationRole = 'save' | 'load';

/** Puts the settings back as they were. Never rejects when QEMU has gone: then there is nothing to put back. */
export type RestoreSettings = () => Promise<void>;

type Capabilities = { capability: string; state: boolean }[];

/**
 * Wanted capabilities; everything else that is on is switched off (multifd, compression … change the stream).
 * pause-before-switchover: QEMU sends what is no device's state while the VM runs, stops it, and waits.
 * late-block-activate: the destination takes the disks' locks at `cont` and not before, so that the source can still
 * have them back.
 */
const WANTED: Readonly<Record<MigrationRole, ReadonlySet<string>>> = {
  save: new Set(['x-ignore-shared', 'events', 'pause-before-switchover']),
  load: new Set(['x-ignore-shared', 'events', 'late-block-activate']),
};
/** Left as found: they belong to the VM's disks and change nothing in a stream without dirty bitmaps. */
const KEPT = new Set(['dirty-bitmaps']);
/** 1 TiB/s: QEMU's default of 128 MiB/s sends in slices of 100 ms. */
const UNLIMITED_BYTES_PER_SECOND = 2 ** 40;

/** Done early, outside the downtime. Throws GW_QEMU_STATE when this QEMU cannot leave RAM out. */
export async function borrowMigrationSettings(qmp: QmpClient, role: MigrationRole): Promise<RestoreSettings> {
  const [capabilities, parameters] = await Promise.all([
    qmp.execute<Capabilities>('query-migrate-capabilities'),
    qmp.execute<Record<string, JsonValue>>('query-migrate-parameters'),
  ]);
  if (!capabilities.some(({ capability }) => capability === 'x-ignore-shared')) {
    const reason = 'this QEMU has no x-ignore-shared (it came with QEMU 4.0)';
    throw new GodwitError('GW_QEMU_STATE', { action: role, reason });
  }
  const before = capabilities.filter(({ capability, state }) => {
    return WANTED[role].has(capability) !== state && !KEPT.has(capability);
  });
  const bandwidth = parameters['max-bandwidth'];
  await Promise.all([
    before.length > 0 ? setCapabilities(qmp, flip(before)) : undefined,
    qmp.execute('migrate-set-parameters', { 'max-bandwidth': UNLIMITED_BYTES_PER_SECOND }),
  ]);
  return async () => {
    try {
      if (before.length > 0) await setCapabilities(qmp, before);
      if (bandwidth !== undefined) await qmp.execute('migrate-set-parameters', { 'max-bandwidth': bandwidth });
    } catch (error) {
      if (asGodwitError(error).code !== 'GW_QMP_CLOSED') throw error;
    }
  };
}

async function setCapabilities(qmp: QmpClient, capabilities: Capabilities): Promise<void> {
  await qmp.execute('migrate-set-capabilities', { capabilities });
}

function flip(capabilities: Capabilities): Capabilities {
  return capabilities.map(({ capability, state }) => ({ capability, state: !state }));
}
