import { describe, expect, test } from 'vitest';
import { GodwitError, type JsonValue } from '../base/errors.ts';
import { borrowMigrationSettings, type MigrationSettings, restoreMigrationSettings } from './migration-settings.ts';
import type { QmpClient } from './qmp.ts';

const OWNERS = { 'x-ignore-shared': false, events: false, 'pause-before-switchover': false, xbzrle: true };
const BORROWED = { 'x-ignore-shared': true, events: true, 'pause-before-switchover': true, xbzrle: false };
const MAX_BANDWIDTH = 134_217_728;
const FOUND: MigrationSettings = {
  capabilities: Object.entries(OWNERS).map(([capability, state]) => ({ capability, state })),
  maxBandwidth: MAX_BANDWIDTH,
};
const REFUSAL = new GodwitError('GW_QMP_ERROR', { command: 'it', reason: 'not now', class: 'GenericError' });

/** A QEMU that has these settings, and nothing else. */
class SettableQemu {
  readonly capabilities: Record<string, boolean> = { ...OWNERS };
  maxBandwidth = MAX_BANDWIDTH;
  /** Next answers to these commands. */
  readonly refusals = new Map<string, Error>();

  get client(): QmpClient {
    return this as unknown as QmpClient;
  }

  async execute(command: string, args: Record<string, JsonValue> = {}): Promise<unknown> {
    const refusal = this.refusals.get(command);
    this.refusals.delete(command);
    // Later than what is not refused.
    if (refusal) await new Promise(setImmediate);
    if (refusal) throw refusal;
    if (command === 'query-migrate-capabilities') {
      return Object.entries(this.capabilities).map(([capability, state]) => ({ capability, state }));
    }
    if (command === 'query-migrate-parameters') return { 'max-bandwidth': this.maxBandwidth };
    if (command === 'migrate-set-parameters') this.maxBandwidth = args['max-bandwidth'] as number;
    for (const { capability, state } of (args['capabilities'] ?? []) as MigrationSettings['capabilities']) {
      this.capabilities[capability] = state;
    }
    return {};
  }
}

describe("QEMU's migration settings", () => {
  test('are told as they were found before anything is changed', async () => {
    const qemu = new SettableQemu();
    const kept: unknown[] = [];
    const found = await borrowMigrationSettings(qemu.client, 'save', (settings) => {
      kept.push(settings, { ...qemu.capabilities }, qemu.maxBandwidth);
    });
    expect(kept).toEqual([FOUND, OWNERS, MAX_BANDWIDTH]);
    expect(found).toEqual(FOUND);
    expect(qemu).toMatchObject({ capabilities: BORROWED, maxBandwidth: 2 ** 40 });
  });

  test('are not changed when what was found cannot be kept', async () => {
    const qemu = new SettableQemu();
    const full = new Error('the disk is full');
    const borrowing = borrowMigrationSettings(qemu.client, 'save', () => {
      throw full;
    });
    await expect(borrowing).rejects.toBe(full);
    expect(qemu).toMatchObject({ capabilities: OWNERS, maxBandwidth: MAX_BANDWIDTH });
  });

  test.each([
    'migrate-set-capabilities',
    'migrate-set-parameters',
  ])('are as they were when %s is refused', async (command) => {
    const qemu = new SettableQemu();
    qemu.refusals.set(command, REFUSAL);
    await expect(borrowMigrationSettings(qemu.client, 'save')).rejects.toBe(REFUSAL);
    expect(qemu).toMatchObject({ capabilities: OWNERS, maxBandwidth: MAX_BANDWIDTH });
  });

  test('can be put back by whoever reads them from a journal', async () => {
    const qemu = new SettableQemu();
    const found = await borrowMigrationSettings(qemu.client, 'save');
    await restoreMigrationSettings(qemu.client, JSON.parse(JSON.stringify(found)) as MigrationSettings);
    expect(qemu).toMatchObject({ capabilities: OWNERS, maxBandwidth: MAX_BANDWIDTH });
  });

  test('are put back as far as QEMU lets them', async () => {
    const qemu = new SettableQemu();
    const found = await borrowMigrationSettings(qemu.client, 'save');
    qemu.refusals.set('migrate-set-capabilities', REFUSAL);
    await expect(restoreMigrationSettings(qemu.client, found)).rejects.toBe(REFUSAL);
    expect(qemu).toMatchObject({ capabilities: BORROWED, maxBandwidth: MAX_BANDWIDTH });
  });

  test('need not be put back in a QEMU that has gone', async () => {
    const qemu = new SettableQemu();
    const found = await borrowMigrationSettings(qemu.client, 'save');
    qemu.refusals.set('migrate-set-parameters', new GodwitError('GW_QMP_CLOSED', { path: '/q' }));
    await expect(restoreMigrationSettings(qemu.client, found)).resolves.toBeUndefined();
  });
});
