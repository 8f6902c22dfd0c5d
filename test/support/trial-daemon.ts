/**
 * A host daemon in this process, with a scripted engine and a VM that is this process itself (nothing may kill it),
 * unless the test has another.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'vitest';
import { hasCode } from '../../src/base/errors.ts';
import { GodwitClient } from '../../src/client/godwit-client.ts';
import { resolveConfig } from '../../src/host/config.ts';
import type { HostSettings } from '../../src/host/config-schema.ts';
import { type Daemon, startDaemon } from '../../src/host/daemon.ts';
import { openLogger } from '../../src/host/logger.ts';
import { VmStore } from '../../src/host/vm-store.ts';
import { identifyProcess, type ProcessIdentity } from '../../src/linux/process.ts';
import type { VmRecord } from '../../src/migration/vm-record.ts';
import { QuietQmp } from './quiet-qmp.ts';
import { ScriptedEngine, sampleRecord } from './scripted-engine.ts';

export interface TrialDaemon extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly client: GodwitClient;
  readonly engine: ScriptedEngine;
  readonly qmp: QuietQmp;
  readonly record: VmRecord;
  readonly state: string;
}

export async function startTrialDaemon(
  options: {
    settings?: HostSettings;
    /** Those that name files in the state directory. */
    settingsIn?: (state: string) => HostSettings;
    token?: string;
    /** Taken for the VM's QEMU instead of this process. */
    identity?: ProcessIdentity;
    prepare?: (engine: ScriptedEngine, state: string) => void;
    prepareQmp?: (qmp: QuietQmp) => void;
  } = {},
): Promise<TrialDaemon> {
  const state = mkdtempSync(join(tmpdir(), 'godwit-trial-'));
  const run = join(state, 'vms', 'web1', 'first');
  mkdirSync(run, { recursive: true });
  const qmp = await QuietQmp.open(join(run, 'qmp.sock'));
  options.prepareQmp?.(qmp);
  const identity = options.identity ?? identifyProcess(process.pid)!;
  const consoleLogPath = join(run, 'console.log');
  writeFileSync(consoleLogPath, 'hello from the guest\n');
  const record = sampleRecord({ ...identity, qmpPath: join(run, 'qmp.sock'), consoleLogPath });
  new VmStore(state).save({ record, spec: null, notes: [], ended: null });
  const engine = new ScriptedEngine();
  options.prepare?.(engine, state);
  const config = resolveConfig(
    {
      name: 'a',
      listen: '127.0.0.1:0',
      migrationListen: '127.0.0.1:0',
      state,
      ...options.settings,
      ...options.settingsIn?.(state),
    },
    { terminal: false, ...(options.token === undefined ? {} : { token: options.token }) },
  );
  const log = openLogger({ level: 'silent', format: 'json', name: 'a' });
  const daemon = await startDaemon(config, { engine, log, version: '0.0.0' });
  const token = options.token === undefined ? {} : { token: options.token };
  const client = new GodwitClient({ url: daemon.api[0]!, ...token });
  return {
    daemon,
    client,
    engine,
    qmp,
    record,
    state,
    async [Symbol.asyncDispose]() {
      await client.close();
      await daemon.close();
      await qmp[Symbol.asyncDispose]();
      rmSync(state, { recursive: true, force: true });
    },
  };
}

/** What `rejects.toThrow` takes for an error with this code. */
export function refusedWith(code: string): unknown {
  return expect.toSatisfy((error) => hasCode(error, code as never));
}

/** Lets everything happen that only waits for the event loop. */
export async function settleEvents(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await nextTurn();
}
