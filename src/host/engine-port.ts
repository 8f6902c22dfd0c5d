/**
 * What the daemon needs from the migration engine.
 *
 * Owns: the port; `daemon.ts` gets the real engine from its caller, tests give a scripted one.
 */
import type {
  CheckResult,
  IncomingPolicy,
  MigrationHandle,
  MigrationListener,
  OutgoingInput,
  VmSettlement,
} from '../migration/handle.ts';
import type { MigrationReport } from '../migration/report.ts';
import type { VmRecord } from '../migration/vm-record.ts';

/** What a restart found in the journals. */
export interface Recovery {
  /** Migrations that go on. */
  readonly handles: readonly MigrationHandle[];
  /** Migrations that are over, with what the daemon has to do about their VMs. */
  readonly settled: readonly {
    readonly vm: string;
    readonly settlement: VmSettlement;
    readonly report: MigrationReport;
  }[];
}

export interface Engine {
  startOutgoing(input: OutgoingInput): MigrationHandle;
  listenForMigrations(options: {
    readonly host: string;
    readonly port: number;
    readonly policy: IncomingPolicy;
  }): Promise<MigrationListener>;
  checkMigration(options: {
    readonly vm: VmRecord;
    readonly to: string;
    readonly hostName: string;
  }): Promise<CheckResult>;
  recoverMigrations(options: {
    readonly stateDirectory: string;
    readonly hostName: string;
    readonly policy: IncomingPolicy;
  }): Promise<Recovery>;
}
