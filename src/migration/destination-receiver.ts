/**
 * What arrives at the destination on the main connection: lists of missing pages, device state, console, and the few
 * pages that loading reads. All other pages come by the page channels (arrivals.ts).
 *
 * Owns: the device state until it is loaded, and the pager once pages are missing.
 * Must hold: nothing is taken before QEMU is there; everything from the peer was checked by the decoders of wire/.
 */
import { appendFileSync } from 'node:fs';
import { GodwitError } from '../base/errors.ts';
import type { PageRun } from '../base/page.ts';
import { createPageDigest, type DigestScheme, type PageDigest } from '../memory/digest.ts';
import type { Message } from '../wire/messages.ts';
import { decodeDigestedPages, decodePages, decodeZeroPages, type PagesPayload } from '../wire/page-payloads.ts';
import { RunListCollector } from '../wire/run-list-collector.ts';
import type { Arrivals } from './arrivals.ts';
import type { DestinationGuest } from './destination-guest.ts';
import type { BinaryName } from './frame-router.ts';
import type { MissingPager } from './missing-pager.ts';
import type { VmRecord } from './vm-record.ts';

export interface DestinationReceiverPort {
  readonly verify: DigestScheme | null;
  readonly arrivals: ArrivedPages;
  /** The first word of memory. */
  onPages(): void;
  onProgress(): void;
  /** A list of missing pages is complete. Whoever takes over from this process must find it. */
  onMissing(runs: readonly PageRun[]): void;
  /** Pages will be missing: whoever touches one waits from now on. */
  openPager(): MissingPager;
}

/** What of the page channels is needed; a rehearsal has none. */
export type ArrivedPages = Pick<Arrivals, 'open' | 'forget' | 'reached' | 'seal' | 'missedPages' | 'receivedPages'>;

/** What of the VM is needed to put in place what comes. */
export type ReceivingGuest = Pick<DestinationGuest, 'memory' | 'feedState'> & {
  readonly record: Pick<VmRecord, 'consoleLogPath'>;
};

/** QEMU's own state is a few hundred KiB; with a large frame buffer some hundred MiB. */
const MAX_HELD_STATE_BYTES = 2 ** 30;

export class DestinationReceiver {
  readonly #port: DestinationReceiverPort;
  #hasStopped = false;
  readonly #stateEnd = Promise.withResolvers<Message<'stateEnd'>>();
  readonly #digest: PageDigest | undefined;
  #guest: ReceivingGuest | undefined;
  #pager: MissingPager | undefined;
  #missingList: RunListCollector | undefined;
  #stateChunks: Uint8Array[] = [];
  #stateBytes = 0;
  #receivedPages = 0;
  #begun = false;

  constructor(port: DestinationReceiverPort) {
    this.#port = port;
    this.#digest = port.verify === null ? undefined : createPageDigest(port.verify);
  }

  get receivedPages(): number {
    return this.#receivedPages + this.#port.arrivals.receivedPages;
  }

  get pager(): MissingPager | undefined {
    return this.#pager;
  }

  get pageCount(): number {
    return this.#guest?.memory.layout.pageCount ?? 0;
  }

  /** QEMU is there. After a restart `pager` is what was missing then. */
  open(guest: ReceivingGuest): void {
    this.#guest = guest;
    this.#port.arrivals.open(guest.memory);
  }

  /** After a restart: pages had arrived before. */
  resume(pager: MissingPager | undefined): void {
    this.#begun = true;
    this.#pager = pager;
  }

  /** Something of the memory has come. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#port.onPages();
  }

  /** Resolves when so many frames of the page channels are in place, and faults are answered if pages will be missing. */
  async settle(frames: number): Promise<void> {
    await this.#port.arrivals.reached(frames);
    if (frames > 0) this.begin();
    await this.#pager?.rehearsed;
  }

  /** A new connection: a list that was cut off begins anew. */
  reconnected(): void {
    this.#missingList = undefined;
  }

  take(name: BinaryName, payload: Uint8Array): void {
    const guest = this.#requireGuest(name);
    switch (name) {
      case 'pages':
        this.#takePages(name, decodePages(payload, this.pageCount));
        return;
      case 'digestedPages':
        this.#takePages(name, decodeDigestedPages(payload, this.pageCount));
        return;
      case 'zeroPages':
        this.#install(name, decodeZeroPages(payload, this.pageCount).runs, null);
        return;
      case 'missingRuns':
        this.#takeMissing(guest, payload);
        return;
      case 'stateChunk':
        this.#takeState(guest, payload);
        return;
      case 'consoleChunk':
        if (guest.record.consoleLogPath) appendFileSync(guest.record.consoleLogPath, payload);
        return;
      default:
        throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: name, reason: 'a source does not send it here' });
    }
  }

  /** The rest of the device state reads guest memory while it is loaded. */
  takeStopped(): void {
    this.#hasStopped = true;
  }

  takeStateEnd(message: Message<'stateEnd'>): void {
    this.#stateEnd.resolve(message);
  }

  /** The device state since the stop and what the source said of it, when all of it is here. @throws GW_WIRE_FRAME_INVALID */
  async takeWholeState(pagesMissing: boolean): Promise<{ state: Buffer; end: Message<'stateEnd'> }> {
    const end = await this.#stateEnd.promise;
    const { arrivals } = this.#port;
    await arrivals.reached(end.frames);
    arrivals.seal();
    const invalid = (reason: string) => new GodwitError('GW_WIRE_FRAME_INVALID', { frame: 'stateEnd', reason });
    if (end.bytes !== this.#stateBytes) throw invalid(`${this.#stateBytes} bytes arrived where ${end.bytes} were sent`);
    const missing = this.#pager?.expectedPages ?? 0;
    if (end.missingPages !== missing || pagesMissing !== (this.#pager !== undefined)) {
      throw invalid(`it counts ${end.missingPages} missing pages, the lists have ${missing}`);
    }
    const missed = arrivals.missedPages;
    if (missed > 0) throw invalid(`${missed} pages were named that are not here, and not sent`);
    const state = Buffer.concat(this.#stateChunks);
    this.#stateChunks = [];
    return { state, end };
  }

  #takePages(name: BinaryName, { runs, data, digests }: PagesPayload): void {
    if (digests) this.#digest?.check(runs, data, digests);
    this.#install(name, runs, data, digests);
  }

  /** Pages come here only when others are missing. */
  #install(name: BinaryName, runs: readonly PageRun[], data: Uint8Array | null, digests?: Uint8Array): void {
    if (!this.#pager) {
      const reason = 'pages come by page channels as long as none are missing';
      throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: name, reason });
    }
    this.#receivedPages += this.#pager.install(runs, data, digests);
    this.#port.onProgress();
  }

  #takeMissing(guest: ReceivingGuest, payload: Uint8Array): void {
    this.begin();
    this.#missingList ??= new RunListCollector('missingRuns', this.pageCount);
    if (!this.#missingList.add(payload)) return;
    const { runs } = this.#missingList;
    this.#missingList = undefined;
    if (runs.length > 0) this.#port.onMissing(runs);
    this.#pager ??= this.#port.openPager();
    this.#port.arrivals.forget(runs, guest.memory);
    this.#pager.expect(runs);
  }

  #takeState(guest: ReceivingGuest, payload: Uint8Array): void {
    this.#stateBytes += payload.length;
    if (this.#stateBytes > MAX_HELD_STATE_BYTES) {
      throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: 'stateChunk', reason: 'the device state is too large' });
    }
    if (this.#hasStopped) this.#stateChunks.push(payload.slice());
    else guest.feedState(payload.slice());
  }

  #requireGuest(frame: BinaryName): ReceivingGuest {
    if (this.#guest) return this.#guest;
    throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame, reason: 'it comes before the destination was ready' });
  }
}
