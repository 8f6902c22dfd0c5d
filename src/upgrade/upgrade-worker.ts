/**
 * The thread that replaces one VM's QEMU.
 *
 * Owns: the way from the question to the end, and the way back. Must hold: until the commit whatever goes wrong leaves the VM
 * in the old QEMU as it was found, running if it ran, and nothing of the new one; after it the new one runs it, and the old
 * one is ended without being asked: a QEMU that ends in an orderly way may throw its memory away, which is the VM's.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { asGodwitError, explain, GodwitError } from '../base/errors.ts';
import { isAlive, readCommandLine, readWorkingDirectory } from '../linux/process.ts';
import { surroundingsOf } from '../linux/surroundings.ts';
import { explainBlockers } from '../migration/blocked.ts';
import { endThreads } from '../migration/child-threads.ts';
import { holdAtFaultPoint } from '../migration/fault-points.ts';
import { insist } from '../migration/insist.ts';
import { removeLeftInstance } from '../migration/left-instance.ts';
import { SourceGuest } from '../migration/source-guest.ts';
import { putBack } from '../migration/source-rollback.ts';
import { takeInput } from '../migration/thread-input.ts';
import { becomeUrgent } from '../migration/thread-priority.ts';
import { probeQemuBinary } from '../qemu/binary.ts';
import { findBinaryBlockers } from '../qemu/fit.ts';
import { isEnding, killQemu } from '../qemu/process.ts';
import { contVm } from '../qemu/run-state.ts';
import { Successor, type SuccessorOptions } from './successor.ts';
import { type SwitchOverTimes, switchOver } from './switch-over.ts';
import { findSurroundingBlockers, findUpgradeBlockers } from './upgrade-blockers.ts';
import { removeUpgradeJournal, settleUpgradeJournal, UpgradeJournal, upgradeJournalPath } from './upgrade-journal.ts';
import { rehearseUpgrade } from './upgrade-rehearsal.ts';
import type { UpgradeInput, UpgradeOrder, UpgradeOutcome } from './upgrade-words.ts';

/** From the stop of the VM to the commit; a QEMU that takes longer has failed. */
const STANDSTILL_LIMIT_MS = 10_000;
const FALLBACK_BINARY = 'qemu-system-x86_64';

const input = await takeInput<UpgradeInput>(endThreads);
const { name } = input.vm;
/** Aborted: it is not to be, or takes too long. */
const life = new AbortController();
const notes: string[] = [];
const note = (text: string): void => {
  notes.push(text);
};

const obey = (order: UpgradeOrder): void => {
  if (order.kind === 'cancel') life.abort(new GodwitError('GW_UPGRADE_CANCELLED', { vm: name }));
};
parentPort!.on('message', obey);
try {
  parentPort!.postMessage(await upgrade());
} finally {
  await endThreads();
  parentPort!.off('message', obey);
}

/** @throws what ends this thread: the VM is where the journal says, and another thread must see to it */
async function upgrade(): Promise<UpgradeOutcome> {
  using stack = new DisposableStack();
  const path = upgradeJournalPath(input.stateDirectory, name);
  let options: SuccessorOptions;
  let journal: UpgradeJournal;
  try {
    const guest = stack.adopt(await SourceGuest.open(input.vm), (opened) => opened.close());
    options = await question(guest);
    journal = stack.use(UpgradeJournal.create(path));
  } catch (error) {
    return stayed(error);
  }
  const { guest, stateDirectory, instance } = options;
  const progress = { wasRunning: false, isCommitted: false };
  let successor: Successor | undefined;
  try {
    journal.append({ kind: 'begun', old: input.vm, instance: input.instance });
    await Successor.tryOut(options);
    const unrehearsed = await rehearseUpgrade(input, life.signal);
    if (unrehearsed) note(unrehearsed);
    life.signal.throwIfAborted();
    successor = await Successor.start(options);
    const times = await change(guest, successor, journal, progress);
    const outcome = await finish(options, successor, times, progress.wasRunning);
    settleUpgradeJournal(path, note);
    return outcome;
  } catch (error) {
    if (progress.isCommitted) throw error;
    // Ended first: it must not write any more into the memory with which the old one goes on.
    const isGone = await (successor?.discard() ?? removeLeftInstance(stateDirectory, name, instance));
    if (!isGone) throw error;
    await putBack({ guest, note }, progress.wasRunning);
    removeUpgradeJournal(path);
    return stayed(error);
  }
}

/** What stands in the way, as far as it shows before a QEMU is started. @throws GW_UPGRADE_REFUSED, GW_QEMU_START */
async function question(guest: SourceGuest): Promise<SuccessorOptions> {
  const args = readCommandLine(guest.identity.pid).slice(1);
  const ownTaps = new Set((input.vm.nics ?? []).flatMap(({ tap }) => tap ?? []));
  const { blockers, diskServer, facts } = guest;
  const { pid, adopted } = input.vm;
  const found = [
    ...findUpgradeBlockers({ args, ownTaps, blockers, hasBlockServer: diskServer !== null }),
    ...findSurroundingBlockers({ args, old: surroundingsOf(pid), ours: surroundingsOf(process.pid), adopted }),
  ];
  if (found.length > 0) throw refuse(explainBlockers(found));
  const binary = await probeQemuBinary(binaryToRun());
  const lacks = findBinaryBlockers(binary, facts);
  if (lacks.length > 0) throw refuse(explainBlockers(lacks));
  const workingDirectory = readWorkingDirectory(pid);
  return { ...input, guest, args, workingDirectory, binary: binary.path, signal: life.signal, refuse };
}

/** The same file as now, which may be a newer QEMU than the one that runs; /proc says so of a file that was replaced. */
function binaryToRun(): string {
  if (input.qemu !== null) return input.qemu;
  const path = input.vm.binary.replace(/ \(deleted\)$/, '');
  return existsSync(path) ? path : FALLBACK_BINARY;
}

async function change(
  guest: SourceGuest,
  successor: Successor,
  journal: UpgradeJournal,
  progress: { wasRunning: boolean; isCommitted: boolean },
): Promise<SwitchOverTimes> {
  const load = await successor.prepareToLoad(join(successor.paths.directory, 'load.sock'), life.signal);
  await guest.prepareToSave((settings) => journal.append({ kind: 'borrowed', settings }));
  const wasRunning = await guest.isRunning();
  progress.wasRunning = wasRunning;
  life.signal.throwIfAborted();
  journal.append({ kind: 'stopping', wasRunning });
  becomeUrgent();
  const reason = `the VM has stood still for ${STANDSTILL_LIMIT_MS / 1000} s`;
  const late = (): void => life.abort(new GodwitError('GW_UPGRADE_FAILED', { vm: name, reason }));
  const timer = setTimeout(late, STANDSTILL_LIMIT_MS);
  try {
    return await switchOver({
      save: guest.saveState(life.signal),
      load,
      accel: guest.facts.accel,
      wasRunning,
      signal: life.signal,
      commit: async () => {
        await holdAtFaultPoint('upgradeLoaded');
        journal.append({ kind: 'committed', vm: successor.record, settings: successor.settings });
        progress.isCommitted = true;
        await holdAtFaultPoint('upgradeCommitted');
      },
      // Somebody else may have a monitor of it. Of one that is godwit's nobody has: it ends afterwards, because letting go of
      // its memory would add to the standstill.
      ...(input.vm.adopted ? { endOld: () => endOld(guest) } : {}),
      resume: () => resume(successor),
    });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * There is no way back: it is tried until it succeeds, or the guest or the new QEMU has ended, as both can at any time.
 *
 * @throws when the new QEMU lives and cannot be talked to any more over this connection
 */
async function resume({ qmp, identity }: Successor): Promise<{ resumedAtMs: number } | undefined> {
  const isHopeless = ({ code }: GodwitError): boolean => code === 'GW_QEMU_STATE' || qmp.isClosed || !isAlive(identity);
  const options = { what: `Continuing VM ${name}`, note, isHopeless };
  try {
    return await insist(() => contVm(qmp), options);
  } catch (thrown) {
    const error = asGodwitError(thrown);
    if (error.code !== 'GW_QEMU_STATE' && !(await isEnding(identity))) throw error;
    note(error.message);
    return undefined;
  }
}

/** @throws when it does not end: nobody gets the VM then */
async function endOld({ identity }: SourceGuest): Promise<void> {
  if (await killQemu(identity)) return;
  throw new GodwitError('GW_QEMU_GONE', { vm: name, reason: 'the old QEMU does not end although it was killed' });
}

async function finish(
  { guest, binary }: SuccessorOptions,
  successor: Successor,
  times: SwitchOverTimes,
  wasRunning: boolean,
): Promise<UpgradeOutcome> {
  await endOld(guest);
  await successor.settleIn(wasRunning).catch((error: unknown) => note(asGodwitError(error).message));
  const from = { binary: input.vm.binary, version: guest.facts.qemuVersion };
  const to = { binary, version: successor.qmp.qemuVersion };
  const totalMs = Date.now() - input.startedAtMs;
  const measured = { ...times, wasRunning, from, to, totalMs, notes: [...successor.notes, ...notes] };
  return { kind: 'upgraded', vm: successor.record, measured };
}

function refuse(reason: string): GodwitError {
  return new GodwitError('GW_UPGRADE_REFUSED', { vm: name, reason });
}

/** As it is told to whoever asked. */
function stayed(thrown: unknown): UpgradeOutcome {
  const error = asGodwitError(life.signal.aborted ? life.signal.reason : thrown);
  const isTold = error.code.startsWith('GW_UPGRADE_') || !isAlive(input.vm);
  if (isTold) return { kind: 'stayed', error: error.toBody(), notes };
  if (error.code === 'GW_MIGRATION_BLOCKED') {
    return { kind: 'stayed', error: refuse(String(error.details['reason'])).toBody(), notes };
  }
  const told = new GodwitError('GW_UPGRADE_FAILED', { vm: name, reason: explain(error) });
  return { kind: 'stayed', error: told.toBody(), notes };
}
