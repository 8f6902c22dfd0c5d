/**
 * One frame of a page channel, from the connection to its place in the VM's memory.
 *
 * Owns: the memory that payloads are read into, and which frames may come. Must hold: what is not known to be right is
 * not put anywhere; a frame is read to its end.
 */
import type { GuestMemory } from '../memory/guest-memory.ts';
import { isBestMovedDirectly, type ReceivingChannel } from '../transfer/page-channel.ts';
import { type FrameHeader, FrameType, frameName, invalidFrame } from '../wire/frame-types.ts';
import { MAX_FRAME_PAYLOAD } from '../wire/limits.ts';
import { decodePackedPages } from '../wire/packed-pages.ts';
import {
  decodeDigestedPages,
  decodePages,
  decodePagesHead,
  decodeZeroPages,
  PAGES_COUNT_BYTES,
  pagesHeadBytes,
} from '../wire/page-payloads.ts';
import type { ArrivingPages } from './arriving-pages.ts';

export class FrameIntake {
  #payload: Uint8Array | undefined;

  /**
   * Reads the payload that follows the header. Returns how many pages are in place now.
   * @throws GW_WIRE_FRAME_INVALID, and those of ArrivingPages
   */
  take(channel: ReceivingChannel, header: FrameHeader, pages: ArrivingPages, memory: GuestMemory): number {
    const { pageCount } = memory.layout;
    if (header.type === FrameType.pages && !pages.isPaging) return this.#takeDirectly(channel, header, pages, memory);
    return this.place(header, this.#read(channel, header.payloadBytes), pages, pageCount);
  }

  /** The same of a payload that has been read. */
  place(header: FrameHeader, payload: Uint8Array, pages: ArrivingPages, pageCount: number): number {
    switch (header.type) {
      case FrameType.pages:
        return pages.takePages(decodePages(payload, pageCount));
      case FrameType.digestedPages:
        return pages.takePages(decodeDigestedPages(payload, pageCount));
      case FrameType.packedPages:
        return pages.takePacked(decodePackedPages(payload, pageCount));
      case FrameType.zeroPages:
        return pages.takeZeroPages(decodeZeroPages(payload, pageCount).runs);
      default:
        throw invalidFrame(frameName(header.type), 'a page channel carries pages only');
    }
  }

  /** From the socket into the RAM file, where it pays without a copy in between. */
  #takeDirectly(
    channel: ReceivingChannel,
    { payloadBytes }: FrameHeader,
    pages: ArrivingPages,
    memory: GuestMemory,
  ): number {
    const count = this.#read(channel, PAGES_COUNT_BYTES);
    const { pageCount } = memory.layout;
    const head = this.#buffer(pagesHeadBytes(count, payloadBytes));
    channel.read(head.subarray(PAGES_COUNT_BYTES));
    const list = decodePagesHead(head, payloadBytes, pageCount);
    if (!isBestMovedDirectly(list.runs)) {
      const payload = this.#buffer(payloadBytes);
      channel.read(payload.subarray(head.length));
      return pages.takePages(decodePages(payload, pageCount));
    }
    for (const piece of memory.filePieces(list.runs)) channel.readIntoFile(piece);
    pages.settle(list.runs);
    return list.pages;
  }

  #read(channel: ReceivingChannel, bytes: number): Uint8Array {
    const payload = this.#buffer(bytes);
    channel.read(payload);
    return payload;
  }

  #buffer(bytes: number): Uint8Array {
    this.#payload ??= new Uint8Array(MAX_FRAME_PAYLOAD);
    return this.#payload.subarray(0, bytes);
  }
}
