/**
 * QEMU's migration settings, borrowed for moving the device state.
 *
 * Must hold: RAM in shared files stays out of the stream (x-ignore-shared), nothing slows it down, and every setting
 * that was changed can be put back, so that a VM that stays is as it was found, also by a process that did not change it:
 * what was found is a plain value, and it is kept before anything is changed.
 */
import { GodwitError, hasCode, type JsonValue } from '../base/errors.ts';
import type { QmpClient } from './qmp.ts';

export type MigrationRole = 'save' | 'load';

type Capability = { readonly capability: string; readonly state: boolean };

/** What a migration changes, as it was found. In journals: further fields must be optional. */
export interface MigrationSettings {
  /** Those that are flipped. */
  readonly capabilities: readonly Capability[];
  /** Bytes per second; null: this QEMU did not tell. */
  readonly maxBandwidth: number | null;
}

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

/**
 * Done early, outside the downtime. What fails half way is undone.
 *
 * @param keep - is given what was found before it is changed; when it throws nothing is changed
 * @throws GW_QEMU_STATE when this QEMU cannot leave RAM out
 */
export async function borrowMigrationSettings(
  qmp: QmpClient,
  role: MigrationRole,
  keep: (found: MigrationSettings) => void = () => undefined,
): Promise<MigrationSettings> {
  const [capabilities, parameters] = await Promise.all([
    qmp.execute<Capability[]>('query-migrate-capabilities'),
    qmp.execute<Record<string, JsonValue>>('query-migrate-parameters'),
  ]);
  if (!capabilities.some(({ capability }) => capability === 'x-ignore-shared')) {
    const reason = 'this QEMU has no x-ignore-shared (it came with QEMU 4.0)';
    throw new GodwitError('GW_QEMU_STATE', { action: role, reason });
  }
  const bandwidth = parameters['max-bandwidth'];
  const found: MigrationSettings = {
    capabilities: capabilities.filter(({ capability, state }) => {
      return WANTED[role].has(capability) !== state && !KEPT.has(capability);
    }),
    maxBandwidth: typeof bandwidth === 'number' ? bandwidth : null,
  };
  keep(found);
  try {
    await change(qmp, { capabilities: flip(found.capabilities), maxBandwidth: UNLIMITED_BYTES_PER_SECOND });
  } catch (error) {
    // What failed first is told: a QEMU that refuses this too has said why already.
    await Promise.allSettled([restoreMigrationSettings(qmp, found)]);
    throw error;
  }
  return found;
}

/** The settings as they were. Never rejects when QEMU has gone: then there is nothing to put back. */
export async function restoreMigrationSettings(qmp: QmpClient, found: MigrationSettings): Promise<void> {
  try {
    await change(qmp, found);
  } catch (error) {
    if (!hasCode(error, 'GW_QMP_CLOSED')) throw error;
  }
}

/** Rejects only when QEMU has answered to everything. */
async function change(qmp: QmpClient, { capabilities, maxBandwidth }: MigrationSettings): Promise<void> {
  const changes = [
    capabilities.length > 0 ? qmp.execute('migrate-set-capabilities', { capabilities }) : undefined,
    maxBandwidth !== null ? qmp.execute('migrate-set-parameters', { 'max-bandwidth': maxBandwidth }) : undefined,
  ];
  await Promise.allSettled(changes);
  await Promise.all(changes);
}

function flip(capabilities: readonly Capability[]): Capability[] {
  return capabilities.map(({ capability, state }) => ({ capability, state: !state }));
}
