/**
 * The threads of migrations: what each is given, and what follows when one dies without a word.
 *
 * Must hold: a thread that died is followed by one that recovers from the journal, and that by another, after a pause. Where the VM
 * is this host's to keep, so many deaths are enough: it is left as it is, and the report says so. Where the other host has our word,
 * or waits for pages, there is no end to it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { GodwitError } from '../base/errors.ts';
import type { ProcessIdentity } from '../linux/process.ts';
import type { DestinationFacts } from './destination-facts.ts';
import type { DestinationWorkerInput } from './destination-worker.ts';
import { type EmptyReportFacts, emptyReport } from './empty-report.ts';
import { memoryOf } from './fit.ts';
import type { ComingVm, VmSettlement } from './handle.ts';
import type { JournalRecord } from './handover.ts';
import { findJournals, journalPath, readJournal, readWholeLines } from './journal.ts';
import { destinationRecovery, sourceRecovery, stayOf } from './journal-facts.ts';
import type { MigrationReport } from './report.ts';
import { DEFAULT_MIGRATION_OPTIONS } from './request.ts';
import { rememberJournal, rememberThread } from './sessions.ts';
import type { SourceWorkerInput } from './source-worker.ts';
import type { VmRecord } from './vm-record.ts';
import { WorkerHandle } from './worker-handle.ts';

/** Of threads of one migration, one after the other. */
const MAX_DEATHS = 5;
const PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/** @param deaths - how many threads of the migration have died, of those that this process has started */
export function startSourceThread(input: SourceWorkerInput, deaths: number = 0): WorkerHandle {
  const { startedAt } = input;
  return new WorkerHandle({
    id: input.id,
    vm: input.vm.name,
    uuid: input.vm.uuid,
    epoch: input.vm.epoch,
    direction: 'outgoing',
    peer: input.to,
    options: input.options,
    ramBytes: input.vm.memoryBytes,
    hasVm: input.recovery?.hasVm ?? true,
    qemu: identityOf(input.vm),
    module: 'source-worker',
    input,
    async afterCrash(error) {
      await pauseAfter(deaths);
      const found = recoverable(() => sourceRecovery(read(input, 'outgoing'), staysBeside(input, 'outgoing')));
      if (found && (deaths < MAX_DEATHS || holds(found.records, 'committed')))
        return { successor: startSourceThread({ ...input, recovery: stillWith(input, found) }, deaths + 1) };
      const settlement = sourceSettlement(input);
      // Where the journal says that the VM is, the report does, too.
      const owner = settlement.kind === 'left' ? settlement.to : input.hostName;
      return { settlement, report: { ...failedReport(input, startedAt, error), owner } };
    },
    reportUndecided: (error) => failedReport(input, startedAt, error),
  });
}

/** @param deaths - how many threads of the migration have died, of those that this process has started */
export function startDestinationThread(input: DestinationWorkerInput, deaths: number = 0): WorkerHandle {
  const { offer } = input.facts;
  const handle = new WorkerHandle({
    ...comingVm(input.facts, input.recovery?.vm ?? null),
    direction: 'incoming',
    options: { ...DEFAULT_MIGRATION_OPTIONS, mode: offer.mode, verify: offer.verify !== null },
    hasVm: input.recovery?.hasVm ?? true,
    isSettled: input.recovery?.isSettled ?? false,
    module: 'destination-worker',
    input,
    async afterCrash(error, told) {
      await pauseAfter(deaths);
      const { facts } = input;
      const at = { stateDirectory: facts.stateDirectory, id: offer.migrationId };
      const isSettled = told || input.recovery?.isSettled === true;
      const found = recoverable(() => destinationRecovery(read(at, 'incoming'), staysBeside(at, 'incoming')));
      if (found && (deaths < MAX_DEATHS || holds(found.records, 'prepared'))) {
        const recovery = { ...stillWith(input, found), isSettled };
        return { successor: startDestinationThread({ facts, fd: null, recovery }, deaths + 1) };
      }
      const settlement = destinationSettlement(at);
      const owner = settlement.kind === 'arrived' ? facts.hostName : offer.sourceHost;
      return { settlement, report: { ...incomingReport(facts, error), owner } };
    },
    reportUndecided: (error) => incomingReport(input.facts, error),
  });
  rememberThread(offer.sessionKey, handle);
  rememberJournal(offer.sessionKey, journalPath(input.facts.stateDirectory, offer.migrationId, 'incoming'));
  return handle;
}

/** @param record - null: its QEMU has not been started yet, as far as is known */
export function comingVm({ offer, peer }: DestinationFacts, record: VmRecord | null): ComingVm {
  const { migrationId: id, epoch, sourceHost, vm } = offer;
  const qemu = record && identityOf(record);
  return { id, vm: vm.name, uuid: vm.uuid ?? '', epoch, peer: sourceHost || peer, ramBytes: memoryOf(vm), qemu };
}

/** Where the journal says that the VM is: a daemon must never take back what was given away. */
function sourceSettlement(input: SourceWorkerInput): VmSettlement {
  const recovery = recoverable(() => sourceRecovery(read(input, 'outgoing')));
  const committed = recovery?.records.findLast((record) => record.kind === 'committed');
  if (!recovery || !committed) return { kind: 'stays' };
  return { kind: 'left', to: recovery.facts.destinationName, epoch: committed.epoch };
}

function destinationSettlement(at: { readonly stateDirectory: string; readonly id: string }): VmSettlement {
  const recovery = recoverable(() => destinationRecovery(read(at, 'incoming')));
  const isOwner = recovery?.records.some((record) => record.kind === 'owner') ?? false;
  return recovery?.vm && isOwner ? { kind: 'arrived', vm: recovery.vm } : { kind: 'absent' };
}

function incomingReport(facts: DestinationFacts, error: GodwitError): MigrationReport {
  const { offer, hostName, startedAt } = facts;
  const input = {
    id: offer.migrationId,
    vm: { name: offer.vm.name, memoryBytes: 0 },
    to: hostName,
    hostName: offer.sourceHost,
    options: { mode: offer.mode },
  };
  return failedReport(input, startedAt, error);
}

function failedReport(input: EmptyReportFacts['input'], startedAt: number, error: GodwitError): MigrationReport {
  const totalMs = Date.now() - startedAt;
  return emptyReport({ input, startedAt, totalMs, outcome: 'failed', error: error.toBody(), interrupted: true });
}

function read(at: { readonly stateDirectory: string; readonly id: string }, direction: 'outgoing' | 'incoming') {
  return readJournal(journalPath(at.stateDirectory, at.id, direction));
}

/** What the other journals say of the VMs of this host: one may have moved on since this migration began. */
function staysBeside(at: { readonly stateDirectory: string; readonly id: string }, direction: 'outgoing' | 'incoming') {
  const own = journalPath(at.stateDirectory, at.id, direction);
  return findJournals(at.stateDirectory).flatMap(({ path }) => {
    const stay = path === own ? undefined : stayOf(readWholeLines(path));
    return stay ? [stay] : [];
  });
}

/** A thread that died before its journal was begun left nothing to recover. */
function recoverable<T>(find: () => T | undefined): T | undefined {
  try {
    return find();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A later migration that had the say when the daemon began has it still, whatever this journal says by itself. */
function stillWith<T extends { readonly hasVm: boolean }>(
  { recovery }: { readonly recovery?: { readonly hasVm: boolean } | null },
  found: T,
): T {
  return { ...found, hasVm: found.hasVm && (recovery?.hasVm ?? true) };
}

/** What killed one thread would kill the next in the same moment. */
async function pauseAfter(deaths: number): Promise<void> {
  if (deaths > 0) await delay(Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** (deaths - 1)));
}

function identityOf({ pid, startTicks }: VmRecord): ProcessIdentity {
  return { pid, startTicks };
}

function holds(records: readonly JournalRecord[], kind: JournalRecord['kind']): boolean {
  return records.some((record) => record.kind === kind);
}
