/**
 * What one migration at the source is put together from.
 *
 * Owns: the making of the parts and their ties. Must hold: nothing is sent, and nothing of the VM is touched, before
 * the migration begins; what a part has to tell comes back through the hooks.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import type { GodwitError } from '../base/errors.ts';
import type { PageRun } from '../base/page.ts';
import { availableDigestSchemes, type DigestScheme } from '../memory/digest.ts';
import type { MigrationSettings } from '../qemu/migration-settings.ts';
import type { KnownImage } from '../storage/known-image.ts';
import { HostBudget } from '../transfer/host-budget.ts';
import { Mailbox } from '../transfer/mailbox.ts';
import { Pacer } from '../transfer/pacer.ts';
import type { PackingCounts } from '../transfer/packing.ts';
import type { ControlMessage } from '../wire/messages.ts';
import { openPredictor } from './before-migration.ts';
import { ConsoleCarrier } from './console-carrier.ts';
import type { Entrust } from './group-tracker.ts';
import type { HostTraffic } from './handle.ts';
import type { SourceEvent } from './handover-source-state.ts';
import { HistoryFile } from './history-file.ts';
import { isGivenAway } from './phases.ts';
import type { Predictor } from './predictor.ts';
import type { MigrationEvent, SourcePhase } from './progress.ts';
import type { MigrationOptions } from './request.ts';
import { SourceCopying } from './source-copying.ts';
import { SourceDisks } from './source-disks.ts';
import type { SourceFacts } from './source-facts.ts';
import type { SourceGuest } from './source-guest.ts';
import { SourceLink } from './source-link.ts';
import { SourcePacking } from './source-packing.ts';
import { SourceProgress } from './source-progress.ts';
import { SourceReport } from './source-report.ts';
import { SourceVisit } from './source-visit.ts';
import { ThrottleClock } from './throttle-clock.ts';

export interface SourceHooks {
  emit(event: MigrationEvent): void;
  readonly entrust: Entrust;
  /** Writes down which settings of QEMU were found, before they are changed. */
  keepSettings(found: MigrationSettings): void;
  /** Writes down the images of disks that are copied. */
  keepCopied(images: readonly KnownImage[]): void;
  phase(): SourcePhase;
  /** In hexadecimal; not among the facts, which are written down. */
  readonly fleetKey: string | null;
  readonly sentContents: SharedArrayBuffer | null;
  /** As tuned by now. */
  options(): MigrationOptions;
  /** Of all connections of the migration. */
  wireBytes(): number;
  onMessage(message: ControlMessage): void;
  onStillMissing(runs: readonly PageRun[]): void;
  onMissed(runs: readonly PageRun[]): void;
  onLost(reason: GodwitError): void;
  prepareServing(): Promise<void>;
}

export interface SourceParts {
  readonly facts: SourceFacts;
  readonly guest: SourceGuest;
  /** What the handover has not looked at yet. */
  readonly events: Mailbox<SourceEvent>;
  /** Aborted when the migration goes back: every activity before the commit ends. */
  readonly beforeCommit: AbortController;
  /** Aborted at the very end. */
  readonly life: AbortController;
  readonly link: SourceLink;
  readonly progress: SourceProgress;
  readonly report: SourceReport;
  readonly pacer: Pacer;
  readonly packing: SourcePacking;
  readonly console: ConsoleCarrier;
  readonly history: HistoryFile;
  readonly predictor: Predictor;
  readonly visit: SourceVisit;
  readonly throttleClock: ThrottleClock;
  readonly disks: SourceDisks;
  readonly copying: SourceCopying;
  readonly startedMs: number;
  /** How pages are compared; null when they are not. */
  readonly verify: DigestScheme | null;
  phase(): SourcePhase;
  /** As tuned by now. */
  options(): MigrationOptions;
  tell(event: MigrationEvent): void;
  /** Tells whoever watches what no report holds. */
  note(text: string): void;
}

export function assembleSource(
  facts: SourceFacts,
  traffic: HostTraffic,
  guest: SourceGuest,
  hooks: SourceHooks,
): SourceParts {
  const { options } = facts;
  const note = (text: string): void => hooks.emit({ kind: 'noted', level: 'warn', text });
  const life = new AbortController();
  const link = new SourceLink({
    to: facts.to,
    hostName: facts.hostName,
    dscp: traffic.dscp,
    tls: traffic.tls,
    sessionKey: facts.sessionKey,
    pageCount: guest.layout.pageCount,
    life: life.signal,
    onMessage: hooks.onMessage,
    onStillMissing: hooks.onStillMissing,
    onMissed: hooks.onMissed,
    onHeld: (held) => packing.learn(held),
    onLost: (reason) => {
      packing.channels.cut();
      hooks.onLost(reason);
    },
    note,
  });
  // The clock of this thread at the moment of the request, which another thread took.
  const startedMs = SYSTEM_CLOCK.nowMs() - (Date.now() - facts.startedAt);
  const { dataPages } = guest;
  const history = new HistoryFile(facts.historyPath);
  const predictor = openPredictor({
    vm: facts.vm.uuid,
    options,
    to: facts.to,
    linksPath: facts.linksPath,
    history,
    pageCount: guest.layout.pageCount,
    dataPages,
    wireBytes: hooks.wireBytes,
  });
  const progress = new SourceProgress({
    emit: hooks.emit,
    ramBytes: guest.layout.bytes,
    dataPages,
    phase: hooks.phase,
    sentBytes: hooks.wireBytes,
    throttlePercent: () => guest.throttlePercent,
    connected: () => link.isConnected,
    prediction: () => predictor.latest,
    elapsedMs: () => SYSTEM_CLOCK.nowMs() - startedMs,
    finishByMs: () => hooks.options().finishByMs,
    disks: () => disks.copies,
  });
  const pacer = new Pacer(options.bandwidthBytesPerSecond, new HostBudget(traffic.budget));
  const packing: SourcePacking = new SourcePacking({
    memory: guest.memory,
    id: facts.id,
    to: facts.to,
    destinationName: facts.destinationName,
    tls: traffic.tls,
    sentContents: hooks.sentContents,
    isGivenAway: () => isGivenAway(hooks.phase()),
    connections: options.connections,
    linkBytesPerSecond: predictor.knownBytesPerSecond,
    without: options.without,
    pacer,
    keys: { vm: facts.vm.contentKey ?? null, fleet: hooks.fleetKey },
    has: (feature) => link.has(feature),
    onLost: (reason) => link.drop(reason),
    note,
  });
  life.signal.addEventListener('abort', () => packing[Symbol.dispose]());
  const shared = {
    guest,
    link,
    progress,
    report: createReport(facts, guest, packing.counts),
    pacer,
    packing,
    console: new ConsoleCarrier(facts.vm.consoleLogPath),
    history,
    predictor,
    visit: new SourceVisit(facts.vm.uuid),
    throttleClock: new ThrottleClock(),
    startedMs,
  };
  const beforeCommit = new AbortController();
  const events = new Mailbox<SourceEvent>();
  const disks: SourceDisks = new SourceDisks({
    facts,
    guest,
    link,
    pacer,
    signal: beforeCommit.signal,
    linkBytesPerSecond: predictor.knownBytesPerSecond ?? null,
    options: hooks.options,
    keepCopied: hooks.keepCopied,
    onProgress: () => progress.copyingDisks(),
    onFailed(error) {
      events.post({ kind: 'failed', error: error.toBody() });
      beforeCommit.abort(error);
    },
    note,
  });
  life.signal.addEventListener('abort', () => disks.stop());
  const copying = new SourceCopying({
    ...shared,
    disks,
    signal: beforeCommit.signal,
    options: hooks.options,
    waits: facts.group?.waits ?? false,
    entrust: hooks.entrust,
    keepSettings: hooks.keepSettings,
    note,
    prepareServing: hooks.prepareServing,
  });
  return {
    ...shared,
    facts,
    events,
    disks,
    beforeCommit,
    life,
    copying,
    verify: options.verify ? availableDigestSchemes()[0]! : null,
    phase: hooks.phase,
    options: hooks.options,
    tell: hooks.emit,
    note,
  };
}

function createReport(facts: SourceFacts, guest: SourceGuest, packing: PackingCounts): SourceReport {
  return new SourceReport({
    id: facts.id,
    vm: facts.vm.name,
    from: facts.hostName,
    to: facts.to,
    mode: facts.options.mode,
    startedAt: facts.startedAt,
    ramBytes: guest.layout.bytes,
    totalPages: guest.layout.pageCount,
    packing,
  });
}
