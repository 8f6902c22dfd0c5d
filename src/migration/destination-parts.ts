/**
 * What one migration at the destination is put together from.
 *
 * Owns: the making of the parts and their ties. Must hold: nothing is created on this host before the migration begins;
 * what a part has to tell comes back through the hooks.
 */
import type { GodwitError } from '../base/errors.ts';
import type { KnownImage } from '../storage/known-image.ts';
import { Mailbox } from '../transfer/mailbox.ts';
import { Arrivals } from './arrivals.ts';
import { DestinationDisks } from './destination-disks.ts';
import { type DestinationFacts, type DestinationPort, missingFilePath } from './destination-facts.ts';
import { DestinationLink } from './destination-link.ts';
import { DestinationReceiver } from './destination-receiver.ts';
import { DestinationReport } from './destination-report.ts';
import type { FrameRoutes } from './frame-router.ts';
import type { DestinationEvent } from './handover-destination-state.ts';
import type { Journal } from './journal.ts';
import { appendMissingFile } from './missing-file.ts';
import type { MissingPager } from './missing-pager.ts';
import type { DestinationPhase } from './progress.ts';
import { Patience } from './thread-priority.ts';

export interface DestinationHooks extends FrameRoutes {
  phase(): DestinationPhase;
  openPager(): MissingPager;
  /** A page could not be put in its place. */
  onFailed(error: GodwitError): void;
}

export interface DestinationParts {
  readonly facts: DestinationFacts;
  readonly journal: Journal;
  readonly port: DestinationPort;
  /** What the handover has not looked at yet. */
  readonly events: Mailbox<DestinationEvent>;
  /** Aborted at the very end, and when QEMU is discarded. */
  readonly life: AbortController;
  readonly link: DestinationLink;
  readonly receiver: DestinationReceiver;
  readonly arrivals: Arrivals;
  readonly disks: DestinationDisks;
  readonly patience: Patience;
  readonly report: DestinationReport;
  /** The VM stands still, or is about to: nothing gives way to it any more. */
  hurry(): void;
  phase(): DestinationPhase;
  /** Tells whoever watches what no report holds. */
  note(text: string): void;
}

export function assembleDestination(
  facts: DestinationFacts,
  journal: Journal,
  port: DestinationPort,
  hooks: DestinationHooks,
): DestinationParts {
  const events = new Mailbox<DestinationEvent>();
  const note = (text: string): void => port.emit({ kind: 'noted', level: 'warn', text });
  const patience = new Patience();
  const hurry = (): void => {
    patience.hurry();
    arrivals.become('urgent');
  };
  const onProgress = (): void => {
    patience.reconsider();
    report.tellSometimes();
  };
  const arrivals: Arrivals = new Arrivals({
    peer: facts.peer,
    verify: facts.offer.verify,
    onBegin: () => receiver.begin(),
    onProgress,
    onAllPresent: () => receiver.pager?.checkAllPresent(),
    onNotHeld: (runs) => link.sendMissed(runs),
    onLost: (reason) => link.drop(reason),
    onFailed: hooks.onFailed,
  });
  const keepImages = (images: readonly KnownImage[]): void => journal.append({ side: 'facts', images });
  const disks = new DestinationDisks({ keepImages, note });
  const life = new AbortController();
  life.signal.addEventListener('abort', () => disks.stop());
  const receiver: DestinationReceiver = new DestinationReceiver({
    verify: facts.offer.verify,
    arrivals,
    onPages: () => events.post({ kind: 'pagesArrived' }),
    onProgress,
    onMissing(runs) {
      hurry();
      appendMissingFile(missingFilePath(facts), runs);
    },
    openPager: hooks.openPager,
  });
  const link: DestinationLink = new DestinationLink({
    peer: facts.peer,
    onBegin: () => receiver.reconnected(),
    control: hooks.control,
    binary: hooks.binary,
    receivedBytes: () => arrivals.bytes,
    onLost: (reason: GodwitError) => {
      events.post({ kind: 'connectionLost', error: reason.toBody() });
      report.tell();
    },
    note,
  });
  const report: DestinationReport = new DestinationReport({
    offer: facts.offer,
    hostName: facts.hostName,
    startedAt: facts.startedAt,
    emit: (event) => port.emit(event),
    phase: hooks.phase,
    wireBytes: () => link.bytes + arrivals.bytes + disks.wireBytes + (receiver.pager?.wireBytes ?? 0),
    pageCount: () => receiver.pageCount,
    receivedPages: () => receiver.receivedPages,
    pager: () => receiver.pager,
    connected: () => link.isConnected,
  });
  return {
    facts,
    journal,
    port,
    events,
    life,
    link,
    receiver,
    arrivals,
    disks,
    patience,
    report,
    hurry,
    phase: hooks.phase,
    note,
  };
}
