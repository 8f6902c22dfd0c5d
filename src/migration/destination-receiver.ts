/**
 * What arrives at the destination: pages, lists of missing pages, device state, console.
 *
 * Owns: which pages were received and which could not be found here, the device state until it is loaded, and the pager once pages are missing.
 * Must hold: nothing is taken before QEMU is there; pages go to the RAM file while none are missing and through the
 * pager from the first list on; everything from the peer was checked by the decoders of wire/.
 */
import { appendFileSync } from 'node:fs';
import { GodwitError } from '../base/errors.ts';
import { countPages, PAGE_SIZE, type PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import type { ContentStore } from '../memory/content-store.ts';
import { createPageDigest, type DigestScheme, type PageDigest } from '../memory/digest.ts';
import { PageUnpacker } from '../transfer/page-unpacker.ts';
import type { Message } from '../wire/messages.ts';
import { decodePackedPages, type PackedPages } from '../wire/packed-pages.ts';
import { decodeDigestedPages, decodePages, decodeZeroPages, type PagesPayload } from '../wire/page-payloads.ts';
import { RunListCollector } from '../wire/run-list-collector.ts';
import type { DestinationGuest } from './destination-guest.ts';
import type { BinaryName } from './frame-router.ts';
import { MissedPages } from './missed-pages.ts';
import type { MissingPager } from './missing-pager.ts';
import type { VmRecord } from './vm-record.ts';

export interface DestinationReceiverPort {
  readonly verify: DigestScheme | null;
  /** The first frame of memory. */
  onPages(): void;
  onProgress(): void;
  /** A list of missing pages is complete. Whoever takes over from this process must find it. */
  onMissing(runs: readonly PageRun[]): void;
  /** Pages will be missing: whoever touches one waits from now on. */
  openPager(): MissingPager;
}

/** What of the VM is needed to put in place what comes. */
export type ReceivingGuest = Pick<DestinationGuest, 'memory' | 'forget' | 'feedState'> & {
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
  #received: PageBitmap | undefined;
  #contents: Pick<ContentStore, 'fetch'> | undefined;
  #missed: MissedPages | undefined;
  #pager: MissingPager | undefined;
  #missingList: RunListCollector | undefined;
  #stateChunks: Uint8Array[] = [];
  #stateBytes = 0;
  readonly #unpacker = new PageUnpacker();
  #receivedPages = 0;
  #begun = false;

  constructor(port: DestinationReceiverPort) {
    this.#port = port;
    this.#digest = port.verify === null ? undefined : createPageDigest(port.verify);
  }

  get receivedPages(): number {
    return this.#receivedPages;
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
    this.#received = new PageBitmap(guest.memory.layout.pageCount);
  }

  /** The source may name pages that are in here. */
  hold(contents: Pick<ContentStore, 'fetch'>): void {
    this.#contents = contents;
  }

  /** Pages that the source has named and that could not be found, since this was asked last. */
  takeMissed(): readonly PageRun[] {
    return this.#missed?.take() ?? [];
  }

  /** After a restart: pages had arrived before. */
  resume(pager: MissingPager | undefined): void {
    this.#begun = true;
    this.#pager = pager;
  }

  /** A new connection: a list that was cut off begins anew. */
  reconnected(): void {
    this.#missingList = undefined;
  }

  take(name: BinaryName, payload: Uint8Array): void {
    const guest = this.#requireGuest(name);
    switch (name) {
      case 'pages':
        this.#takePages(guest, decodePages(payload, this.pageCount));
        return;
      case 'digestedPages':
        this.#takePages(guest, decodeDigestedPages(payload, this.pageCount));
        return;
      case 'packedPages':
        this.#takePackedPages(guest, decodePackedPages(payload, this.pageCount));
        return;
      case 'zeroPages':
        this.#takeZeroPages(guest, decodeZeroPages(payload, this.pageCount).runs);
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
    const invalid = (reason: string) => new GodwitError('GW_WIRE_FRAME_INVALID', { frame: 'stateEnd', reason });
    if (end.bytes !== this.#stateBytes) throw invalid(`${this.#stateBytes} bytes arrived where ${end.bytes} were sent`);
    const missing = this.#pager?.expectedPages ?? 0;
    if (end.missingPages !== missing || pagesMissing !== (this.#pager !== undefined)) {
      throw invalid(`it counts ${end.missingPages} missing pages, the lists have ${missing}`);
    }
    const missed = this.#missed?.count ?? 0;
    if (missed > 0) throw invalid(`${missed} pages were named that are not here, and not sent`);
    const state = Buffer.concat(this.#stateChunks);
    this.#stateChunks = [];
    return { state, end };
  }

  #takePages(guest: ReceivingGuest, frame: PagesPayload): void {
    this.#begin();
    if (frame.digests) this.#digest?.check(frame.runs, frame.data, frame.digests);
    this.#receivedPages += frame.pages;
    if (this.#pager) {
      this.#pager.install(frame.runs, frame.data, frame.digests);
    } else {
      let at = 0;
      for (const run of frame.runs) {
        const bytes = run.count * PAGE_SIZE;
        guest.memory.writePages(run, frame.data.subarray(at, at + bytes));
        this.#received!.addRun(run.first, run.count);
        this.#missed?.settle(run);
        at += bytes;
      }
    }
    this.#port.onProgress();
  }

  #takePackedPages(guest: ReceivingGuest, frame: PackedPages): void {
    const old = (page: number, into: Uint8Array): boolean => {
      if (this.#pager || !this.#received!.has(page)) return false;
      guest.memory.readPages({ first: page, count: 1 }, into);
      return true;
    };
    const unpacked = this.#unpacker.unpack(frame, old, (fingerprint, into) => this.#fetch(fingerprint, into));
    this.#takePages(guest, unpacked);
    if (unpacked.missed.length === 0) return;
    this.#missed ??= new MissedPages(this.pageCount);
    this.#missed.add(unpacked.missed);
  }

  #fetch(fingerprint: Uint8Array, into: Uint8Array): boolean {
    if (this.#contents && !this.#pager) return this.#contents.fetch(fingerprint, into);
    const reason = 'it names a page by its contents where nothing is held';
    throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: 'packedPages', reason });
  }

  #takeZeroPages(guest: ReceivingGuest, runs: readonly PageRun[]): void {
    this.#begin();
    if (this.#pager) {
      this.#receivedPages += countPages(runs);
      this.#pager.install(runs, null);
    } else {
      this.#forget(guest, runs);
    }
  }

  #takeMissing(guest: ReceivingGuest, payload: Uint8Array): void {
    this.#begin();
    this.#missingList ??= new RunListCollector('missingRuns', this.pageCount);
    if (!this.#missingList.add(payload)) return;
    const { runs } = this.#missingList;
    this.#missingList = undefined;
    if (runs.length > 0) this.#port.onMissing(runs);
    this.#forget(guest, runs);
    this.#pager ??= this.#port.openPager();
    this.#pager.expect(runs);
  }

  /** Gives back what was received for the pages; pages that never came have nothing to give back. */
  #forget(guest: ReceivingGuest, runs: readonly PageRun[]): void {
    for (const run of runs) {
      guest.forget(this.#received!.runs(run.first, run.first + run.count));
      this.#received!.deleteRun(run.first, run.count);
      this.#missed?.settle(run);
    }
  }

  #takeState(guest: ReceivingGuest, payload: Uint8Array): void {
    this.#stateBytes += payload.length;
    if (this.#stateBytes > MAX_HELD_STATE_BYTES) {
      throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: 'stateChunk', reason: 'the device state is too large' });
    }
    if (this.#hasStopped) this.#stateChunks.push(payload.slice());
    else guest.feedState(payload.slice());
  }

  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#port.onPages();
  }

  #requireGuest(frame: BinaryName): ReceivingGuest {
    if (this.#guest) return this.#guest;
    throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame, reason: 'it comes before the destination was ready' });
  }
}
