/**
 * A packedPages frame back to pages.
 *
 * Owns: the codecs and two buffers, of a frame's largest body and of its pages. Must hold: nothing outside them is
 * written, whatever comes; a delta is applied only to a page that is known.
 */
import { PAGE_SIZE, type PageRun, RunBuilder } from '../base/page.ts';
import { type Codec, type CodecName, openCodec } from '../linux/compression.ts';
import { invalidFrame } from '../wire/frame-types.ts';
import { LINE_BYTES, MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import { type Elsewhere, type PackedPages, readPackedBody } from '../wire/packed-pages.ts';
import type { PagesPayload } from '../wire/page-payloads.ts';
import { BODY_BYTES } from './page-packer.ts';

/** Reads the page as it is here; false when the source cannot know what it is. */
export type ReadOld = (page: number, into: Uint8Array) => boolean;

/** Finds the page with this fingerprint among what this host holds; false when it holds it not. */
export type FetchHeld = (fingerprint: Uint8Array, into: Uint8Array) => boolean;

/** The same of a page that another VM brings; `page` is where it is for. */
export type FetchElsewhere = (page: number, place: Elsewhere, into: Uint8Array) => boolean;

export interface UnpackedPages extends PagesPayload {
  /** Pages that were only named and that this host does not hold; they are not among `runs`. */
  readonly missed: readonly PageRun[];
}

export class PageUnpacker {
  readonly #codecs = new Map<CodecName, Codec>();
  #body: Uint8Array | undefined;
  #pages: Uint8Array | undefined;

  /** @returns valid until the next call. @throws GW_WIRE_FRAME_INVALID */
  unpack(frame: PackedPages, readOld: ReadOld, fetchHeld: FetchHeld, fetchElsewhere: FetchElsewhere): UnpackedPages {
    const { runs, pages, digests } = frame;
    const body = this.#unpackBody(frame);
    if (runs.every(({ kind }) => kind === 'data')) {
      if (body.length !== pages * PAGE_SIZE) throw invalidFrame('packedPages', 'its body is not of whole pages');
      return { runs, pages, digests, data: body, missed: [] };
    }
    this.#pages ??= new Uint8Array(MAX_PAGES_PER_FRAME * PAGE_SIZE);
    const data = this.#pages;
    const here = new RunBuilder();
    const missed = new RunBuilder();
    let at = 0;
    const take = (page: number, isHere: boolean): void => {
      (isHere ? here : missed).add(page, 1);
      if (isHere) at += PAGE_SIZE;
    };
    readPackedBody(frame, body, {
      data(run, contents) {
        data.set(contents, at);
        here.add(run.first, run.count);
        at += run.count * PAGE_SIZE;
      },
      delta(page, low, high, lines) {
        const into = data.subarray(at, at + PAGE_SIZE);
        if (!readOld(page, into)) throw invalidFrame('packedPages', `page ${page} is not here to be changed`);
        applyDelta(into, low, high, lines);
        here.add(page, 1);
        at += PAGE_SIZE;
      },
      held(page, fingerprint) {
        take(page, fetchHeld(fingerprint, data.subarray(at, at + PAGE_SIZE)));
      },
      elsewhere(page, place) {
        take(page, fetchElsewhere(page, place, data.subarray(at, at + PAGE_SIZE)));
      },
    });
    return {
      runs: here.finish(),
      pages: at / PAGE_SIZE,
      digests,
      data: data.subarray(0, at),
      missed: missed.finish(),
    };
  }

  #unpackBody({ codec, packed, bodyBytes }: PackedPages): Uint8Array {
    if (codec === 'none') return packed;
    let opened = this.#codecs.get(codec);
    if (opened === undefined) {
      opened = openCodec(codec);
      this.#codecs.set(codec, opened);
    }
    this.#body ??= new Uint8Array(BODY_BYTES);
    const body = this.#body.subarray(0, bodyBytes);
    if (opened.decompress(packed, body) !== bodyBytes) {
      throw invalidFrame('packedPages', `it does not unpack to ${bodyBytes} bytes with ${codec}`);
    }
    return body;
  }
}

function applyDelta(page: Uint8Array, low: number, high: number, lines: Uint8Array): void {
  let from = 0;
  for (let line = 0; line < PAGE_SIZE / LINE_BYTES; line++) {
    if (((line < 32 ? low : high) & (1 << (line % 32))) === 0) continue;
    page.set(lines.subarray(from, from + LINE_BYTES), line * LINE_BYTES);
    from += LINE_BYTES;
  }
}
