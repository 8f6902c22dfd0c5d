/**
 * The thread of an outgoing migration.
 *
 * Owns: what comes before the handover begins: opening QEMU, looking for what blocks, dialling. Must hold: whatever
 * fails here leaves the VM untouched and ends in a report.
 */
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { isAlive, readCommandLine } from '../linux/process.ts';
import { PageFingerprint } from '../memory/page-fingerprint.ts';
import { requireNicsFeature } from '../network/nic.ts';
import type { MigrationSettings } from '../qemu/migration-settings.ts';
import { GROUP_MEMBER } from '../qemu/shared-memory.ts';
import type { OfferedDisk } from '../wire/disk-messages.ts';
import { blockedBy } from './blocked.ts';
import { chooseChannels } from './channel-choice.ts';
import { dieAfterThreads, endThreads, keepThreads } from './child-threads.ts';
import { applyDirectIo } from './direct-io.ts';
import { offerDisks, requireDiskFeature, withdrawTokens } from './disk-offer.ts';
import { emptyReport } from './empty-report.ts';
import { newVmKey, parseKey } from './fingerprint-keys.ts';
import type { OutgoingInput } from './handle.ts';
import { Journal, journalPath } from './journal.ts';
import type { SourceRecovery } from './journal-facts.ts';
import { linksPathIn } from './known-links-file.ts';
import { featuresOf, type OpenedConnection, openConnection } from './opening.ts';
import { OrphanedSource } from './orphaned-source.ts';
import { rehearse } from './rehearsal.ts';
import type { MigrationOutcome } from './report.ts';
import type { MigrationOptions } from './request.ts';
import { SourceMigration } from './source.ts';
import type { SourceFacts } from './source-facts.ts';
import { SourceGuest } from './source-guest.ts';
import { newSessionKey } from './source-offer.ts';
import { takeInput } from './thread-input.ts';
import { Patience } from './thread-priority.ts';
import { VisitWriter } from './visit-writer.ts';
import { type VmRecord, vmPaths } from './vm-record.ts';
import { obeyOrders, REHEARSAL, WORKER_PORT } from './worker-port.ts';

export interface SourceWorkerInput extends OutgoingInput {
  /** When the migration was asked for, Unix milliseconds. */
  readonly startedAt: number;
  /** After a restart or a crash of the thread: where the journal ended. */
  readonly recovery: SourceRecovery | null;
}

/** Before a QEMU that lives and does not answer is asked again. */
const REOPEN_PAUSE_MS = 1000;

dieAfterThreads();
if (REHEARSAL !== null) keepThreads('page-channel-worker', chooseChannels({ asked: 0, cpus: availableParallelism() }));
const unrehearsed = REHEARSAL === null ? undefined : await rehearse(REHEARSAL);
const input = await takeInput<SourceWorkerInput>(endThreads);
const { startedAt } = input;
if (unrehearsed) WORKER_PORT.emit({ kind: 'noted', level: 'warn', text: unrehearsed });
const cancelled = new AbortController();
/** Nothing comes of the migration. */
const hangUp = new AbortController();
let migration: SourceMigration | undefined;

const stopObeying = obeyOrders({
  async command(command) {
    if (migration) return await migration.command(command);
    if (command.kind === 'cancel') cancelled.abort(new GodwitError('GW_MIGRATION_CANCELLED'));
    else throw new GodwitError('GW_CONFLICT', { kind: 'Migration', name: input.id, reason: 'it has not begun yet' });
  },
});

WORKER_PORT.emit({ kind: 'phaseChanged', phase: 'preparing', atMs: startedAt });
let guest: SourceGuest | undefined;
try {
  if (input.recovery) {
    await recover(input.recovery);
  } else {
    // Answered while QEMU is asked; what blocks is said first. A host that has waited too long is dialled again.
    const dialling = dial();
    dialling.catch(() => undefined);
    // Its first journey: from now on its pages have fingerprints that only its hosts can tell.
    guest = await SourceGuest.open({ ...input.vm, contentKey: input.vm.contentKey ?? newVmKey() });
    await start(guest, dialling);
  }
} catch (error) {
  if (migration || input.recovery) throw error;
  hangUp.abort(asGodwitError(error));
  guest?.close();
  refuse(error);
} finally {
  await endThreads();
  stopObeying();
}

/** What the journal says must happen, happens: there is no giving up because QEMU does not answer at once. */
async function recover(recovery: SourceRecovery): Promise<void> {
  const journal = Journal.reopen(journalPath(input.stateDirectory, input.id, 'outgoing'));
  withdrawTokens(recovery.facts.disks);
  const found = recovery.hasVm ? await openWhileAlive(input.vm, recovery.settings) : undefined;
  if (!found) {
    await new OrphanedSource(recovery, journal, WORKER_PORT, input.traffic).run();
    return;
  }
  migration = new SourceMigration(
    recovery.facts,
    { traffic: input.traffic, fleetKey: null, sentContents: null },
    found,
    journal,
    WORKER_PORT,
  );
  await migration.recover(recovery.records);
}

/** undefined: QEMU has ended. */
async function openWhileAlive(vm: VmRecord, borrowed: MigrationSettings | null): Promise<SourceGuest | undefined> {
  const { pid, startTicks } = vm;
  let told = '';
  while (isAlive({ pid, startTicks })) {
    try {
      return await SourceGuest.open(vm, borrowed);
    } catch (error) {
      const text = asGodwitError(error).message;
      if (text !== told) WORKER_PORT.emit({ kind: 'noted', level: 'warn', text });
      told = text;
      await delay(REOPEN_PAUSE_MS);
    }
  }
  return undefined;
}

async function dial(): Promise<OpenedConnection> {
  const { signal } = hangUp;
  const wanted = AbortSignal.any([cancelled.signal, signal]);
  const features = featuresOf(input.options.without, input.contents.fleetKey);
  const opened = await openConnection(input.to, input.hostName, input.traffic, wanted, features);
  signal.addEventListener('abort', () => opened.connection.destroy(), { once: true });
  if (signal.aborted) opened.connection.destroy();
  return opened;
}

async function start(opened: SourceGuest, dialling: Promise<OpenedConnection>): Promise<void> {
  // Its group takes the memory along that it shares.
  const blockers = opened.blockers.filter(({ id }) => !(input.group && id === GROUP_MEMBER));
  if (blockers.length > 0) throw blockedBy(input.vm.name, blockers);
  const rule = applyDirectIo(input.vm.name, opened.facts.disks, input.options);
  if (rule.note) WORKER_PORT.emit({ kind: 'noted', level: 'warn', text: rule.note });
  const connection = await dialling.then((dialled) => (dialled.connection.isClosed ? dial() : dialled));
  // The cancel may have come when the dialling was over.
  cancelled.signal.throwIfAborted();
  const { disks, blockers: unoffered } = offerDisks(opened, {
    ...input.options,
    args: readCommandLine(opened.identity.pid),
    isOfGroup: input.group !== undefined,
  });
  try {
    if (unoffered.length > 0) throw blockedBy(input.vm.name, unoffered);
    requireDiskFeature(input.vm.name, disks, connection.agreement);
    requireNicsFeature(input.vm.name, input.vm.nics, connection.agreement);
    await run(opened, connection, rule.options, disks);
  } finally {
    withdrawTokens(disks);
  }
}

async function run(
  opened: SourceGuest,
  connection: OpenedConnection,
  options: MigrationOptions,
  disks: readonly OfferedDisk[],
): Promise<void> {
  const facts: SourceFacts = {
    id: input.id,
    vm: opened.vm,
    to: input.to,
    ...(input.group ? { group: input.group } : {}),
    destinationName: connection.agreement.host,
    options,
    disks,
    hostName: input.hostName,
    sessionKey: newSessionKey(),
    startedAt,
    historyPath: vmPaths(input.stateDirectory, input.vm.name, '.').history,
    linksPath: linksPathIn(input.stateDirectory),
  };
  // It can be called at any moment, and loading a thread then is most of what others wait for on a busy host.
  if (input.group && input.options.mode !== 'pre-copy') keepThreads('page-server', 1);
  const journal = Journal.create(journalPath(input.stateDirectory, input.id, 'outgoing'));
  const { fleetKey, sent: sentContents } = input.contents;
  const host = { traffic: input.traffic, fleetKey, sentContents };
  migration = new SourceMigration(facts, host, opened, journal, WORKER_PORT);
  const { visits } = input.contents;
  using visit = visits.budgetBytes > 0 ? new VisitWriter(opened.memory, visits) : undefined;
  await migration.run(connection);
  if (visit && migration.hasLeft) keep(visit, opened.vm);
}

/** For the day when the VM comes back. Everybody has been told how the migration ended. */
function keep(visit: VisitWriter, { name, uuid, contentKey }: VmRecord): void {
  new Patience().begin();
  try {
    const key = parseKey(input.contents.fleetKey ?? contentKey)!;
    if (visit.write(uuid, new PageFingerprint(key))) return;
    WORKER_PORT.emit({ kind: 'noted', level: 'warn', text: `The memory of ${name} is larger than what is kept here` });
  } catch (error) {
    const text = `The memory of ${name} is not kept for when it comes back: ${asGodwitError(error).message}`;
    WORKER_PORT.emit({ kind: 'noted', level: 'warn', text });
  }
}

/** The VM was not touched. */
function refuse(thrown: unknown): void {
  const error = cancelled.signal.aborted ? asGodwitError(cancelled.signal.reason) : asGodwitError(thrown);
  const outcome: MigrationOutcome =
    error.code === 'GW_MIGRATION_CANCELLED'
      ? 'cancelled'
      : error.code === 'GW_MIGRATION_BLOCKED' || error.code === 'GW_MIGRATION_REFUSED'
        ? 'refused'
        : 'failed';
  const phase = outcome === 'cancelled' ? 'cancelled' : 'failed';
  WORKER_PORT.emit({ kind: 'phaseChanged', phase, atMs: Date.now() });
  WORKER_PORT.settle({ kind: 'stays' });
  const totalMs = Date.now() - startedAt;
  WORKER_PORT.emit({
    kind: 'ended',
    report: emptyReport({ input, startedAt, totalMs, outcome, error: error.toBody() }),
  });
}
