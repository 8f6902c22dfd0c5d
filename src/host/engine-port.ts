/**
 * What the daemon needs from the migration engine.
 *
 * Owns: the port; `daemon.ts` gets the real engine from its caller, tests give a scripted one.
 */
import type {
  CheckResult,
  FoundMigrations,
  HostTraffic,
  IncomingPolicy,
  MigrationHandle,
  MigrationListener,
  OutgoingInput,
} from '../migration/handle.ts';
import type { GroupPart } from '../migration/shared-part.ts';
import type { VmRecord } from '../migration/vm-record.ts';

export interface Engine {
  startOutgoing(input: OutgoingInput): MigrationHandle;
  listenForMigrations(options: {
    readonly host: string;
    readonly port: number;
    readonly traffic: HostTraffic;
    readonly keepsSpareThreads: boolean;
    readonly policy: IncomingPolicy;
  }): Promise<MigrationListener>;
  checkMigration(options: {
    readonly vm: VmRecord;
    readonly to: string;
    readonly hostName: string;
    readonly stateDirectory: string;
    readonly traffic: HostTraffic;
    readonly group?: GroupPart;
  }): Promise<CheckResult>;
  /** Those that a restart found unfinished; they go on. */
  recoverMigrations(options: {
    readonly stateDirectory: string;
    readonly hostName: string;
    readonly traffic: HostTraffic;
    readonly policy: IncomingPolicy;
  }): Promise<FoundMigrations>;
}
