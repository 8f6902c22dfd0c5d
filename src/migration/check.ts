/**
 * What would block a migration, before any byte moves. The destination goes as far as it does for a migration, by starting
 * the VM's QEMU (offer-screening.ts).
 */
import { randomUUID } from 'node:crypto';
import { asGodwitError, ERRORS, fixOf, GodwitError, type JsonValue } from '../base/errors.ts';
import { readCommandLine } from '../linux/process.ts';
import { requireNicsFeature } from '../network/nic.ts';
import type { Blocker } from '../qemu/blocker.ts';
import { GROUP_MEMBER } from '../qemu/shared-memory.ts';
import type { OfferedDisk } from '../wire/disk-messages.ts';
import { encodeControl } from '../wire/message-codec.ts';
import { factsBefore, openPredictor } from './before-migration.ts';
import { applyDirectIo } from './direct-io.ts';
import { findUnproved, offerDisks, requireDiskFeature, withdrawTokens } from './disk-offer.ts';
import type { CheckResult, HostTraffic } from './handle.ts';
import { HistoryFile } from './history-file.ts';
import { linksPathIn } from './known-links-file.ts';
import { CHECK_LIMIT_MS } from './offer-screening.ts';
import { openConnection, takeAnswer } from './opening.ts';
import { DEFAULT_MIGRATION_OPTIONS, type MigrationOptions } from './request.ts';
import type { GroupPart } from './shared-part.ts';
import { reportDiskRequests } from './source-disk-server.ts';
import { SourceGuest } from './source-guest.ts';
import { makeOffer, newSessionKey } from './source-offer.ts';
import { type VmRecord, vmPaths } from './vm-record.ts';

/** The destination starts a QEMU first, and ends it when that takes too long. */
const ANSWER_TIMEOUT_MS: number = CHECK_LIMIT_MS + 10_000;

const UNASKED = { outcome: 'ok', blockers: [], notes: [] } as const;

/** Never throws for a blocker; throws when the check itself cannot be made. */
export async function checkMigration(options: {
  readonly vm: VmRecord;
  readonly to: string;
  readonly hostName: string;
  readonly stateDirectory: string;
  readonly traffic: HostTraffic;
  /** The VM would move with those that it shares memory with. */
  readonly group?: GroupPart;
}): Promise<CheckResult> {
  const { vm, to, hostName, stateDirectory, traffic, group } = options;
  let guest: SourceGuest;
  try {
    guest = await SourceGuest.open(vm);
  } catch (error) {
    const known = asGodwitError(error);
    const { blockers } = known.details;
    const found = Array.isArray(blockers) ? (blockers as unknown as Blocker[]) : [toBlocker('source', known)];
    return { ok: false, outcome: outcomeOf(known), blockers: found, notes: [], facts: {} };
  }
  const offer = offerDisks(guest, {
    ...DEFAULT_MIGRATION_OPTIONS,
    args: readCommandLine(vm.pid),
    isOfGroup: group !== undefined,
  });
  try {
    const own = [...guest.blockers, ...offer.blockers];
    const blockers = own.filter(({ id }) => !(group && id === GROUP_MEMBER));
    const rule = applyDirectIo(vm.name, guest.facts.disks, { ...DEFAULT_MIGRATION_OPTIONS, mode: 'auto' });
    // Alone it is refused there for the same reason, whatever else there is to say.
    const isAlone = blockers.some(({ id }) => id === GROUP_MEMBER);
    const there = isAlone ? UNASKED : await askDestination(guest, to, hostName, traffic, group, offer.disks);
    const outcome = blockers.length > 0 ? 'refused' : there.outcome;
    return {
      ok: outcome === 'ok',
      outcome,
      blockers: [...blockers, ...there.blockers],
      notes: [...(rule.note === null ? [] : [rule.note]), ...drainNotes(guest), ...there.notes],
      facts: {
        qemuVersion: guest.facts.qemuVersion,
        machineType: guest.facts.machineType,
        accel: guest.facts.accel,
        memoryBytes: guest.layout.bytes,
        prediction: predict(guest, to, stateDirectory, rule.options),
      },
    };
  } finally {
    withdrawTokens(offer.disks);
    guest.close();
  }
}

/** Which disks keep the VM waiting, however quick the rest is. */
function drainNotes(guest: SourceGuest): string[] {
  return reportDiskRequests(guest).flatMap(({ disk, drained }) =>
    drained === null ? [] : [`${disk}: requests under way are waited for while the VM stands still: ${drained}`],
  );
}

/** What a migration would take, begun now with these options. */
function predict(guest: SourceGuest, to: string, stateDirectory: string, options: MigrationOptions): JsonValue {
  const history = new HistoryFile(vmPaths(stateDirectory, guest.vm.name, '.').history);
  const { dataPages } = guest;
  const predictor = openPredictor({
    vm: guest.vm.uuid,
    options,
    to,
    linksPath: linksPathIn(stateDirectory),
    history,
    pageCount: guest.layout.pageCount,
    dataPages,
    wireBytes: () => 0,
  });
  predictor.start(factsBefore({ options, history, dataPages, canPostCopy: true, elapsedMs: 0 }));
  return predictor.latest as unknown as JsonValue;
}

async function askDestination(
  guest: SourceGuest,
  to: string,
  hostName: string,
  traffic: HostTraffic,
  group: GroupPart | undefined,
  disks: readonly OfferedDisk[],
): Promise<Pick<CheckResult, 'outcome' | 'blockers' | 'notes'>> {
  try {
    const opened = await openConnection(to, hostName, traffic, new AbortController().signal);
    try {
      requireDiskFeature(guest.vm.name, disks, opened.agreement);
      requireNicsFeature(guest.vm.name, guest.vm.nics, opened.agreement);
      const offer = makeOffer(
        {
          id: randomUUID(),
          vm: guest.vm,
          sessionKey: newSessionKey(),
          hostName,
          mode: 'auto',
          epoch: guest.vm.epoch + 1,
          verify: null,
          checkOnly: true,
          disks,
          ...(group ? { group } : {}),
        },
        guest,
      );
      await opened.connection.send(encodeControl(offer));
      const answer = await takeAnswer(opened, to, ANSWER_TIMEOUT_MS);
      if (answer.kind === 'ready') {
        const unproved = findUnproved(guest.vm.name, answer.host, disks, answer.disks);
        if (unproved) throw unproved;
        const { disks: found = [], notes } = answer;
        const copied = found.filter(({ kind }) => kind === 'copied');
        const told = copied.map(({ name, path }) => `disk ${name} would be copied to ${path}`);
        return { outcome: 'ok', blockers: [], notes: [...told, ...notes] };
      }
      if (answer.kind === 'refused') {
        const reason = GodwitError.fromBody(answer.error);
        return { outcome: 'refused', blockers: [toBlocker('destination', reason)], notes: [] };
      }
      throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: answer.kind, reason: 'it comes where ready must come' });
    } finally {
      opened.connection.close();
    }
  } catch (error) {
    const known = asGodwitError(error);
    return { outcome: outcomeOf(known), blockers: [toBlocker('destination', known)], notes: [] };
  }
}

function outcomeOf({ code }: GodwitError): 'refused' | 'failed' {
  return ERRORS[code].exitStatus === 3 ? 'refused' : 'failed';
}

function toBlocker(where: string, error: GodwitError): CheckResult['blockers'][number] {
  const fix = error.details['fix'] ?? fixOf(error) ?? 'change what the reason names';
  return { id: error.code, what: where, reason: error.message, fix: String(fix) };
}
