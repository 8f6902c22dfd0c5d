/** Garbage, and valid streams with bytes changed: whatever comes in, only GW_WIRE_* comes out, and within bounds. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { triedFor } from '../../test/support/further-cases.ts';
import { FRAME_NAMES, FRAME_SAMPLES, SAMPLE_PAGES, senderOf, thrownBy } from '../../test/support/wire-samples.ts';
import { FrameDecoder } from './decoder.ts';
import { FRAMES, type FrameName, FrameType, frameName, type PeerRole } from './frame-types.ts';
import { HeldFilterCollector } from './held-filter.ts';
import { decodeControl, isControl } from './message-codec.ts';
import { decodePackedPages, readPackedBody } from './packed-pages.ts';
import {
  decodeDigestedPages,
  decodePageReply,
  decodePageRequest,
  decodePages,
  decodeZeroPages,
} from './page-payloads.ts';
import { RunListCollector, type RunListFrame } from './run-list-collector.ts';
import { decodeSharedPage, readSharedPairs } from './shared-pages.ts';

const FUZZ_MS = triedFor(1000);

/** Decodes a payload completely; returns the pages that it names. */
function consume(type: FrameType, payload: Uint8Array): readonly { first: number; count: number }[] {
  if (isControl(type)) {
    decodeControl(type, payload);
    return [];
  }
  switch (type) {
    case FrameType.pages:
      return decodePages(payload, SAMPLE_PAGES).runs;
    case FrameType.digestedPages:
      return decodeDigestedPages(payload, SAMPLE_PAGES).runs;
    case FrameType.packedPages: {
      const frame = decodePackedPages(payload, SAMPLE_PAGES);
      // As if it unpacked to the wrong thing.
      const ignore = () => undefined;
      readPackedBody(frame, frame.packed, { data: ignore, delta: ignore, held: ignore, elsewhere: ignore });
      return frame.runs;
    }
    case FrameType.zeroPages:
      return decodeZeroPages(payload, SAMPLE_PAGES).runs;
    case FrameType.pageRequest:
      return [decodePageRequest(payload, SAMPLE_PAGES)];
    case FrameType.pageReply:
      return decodePageReply(payload, SAMPLE_PAGES).runs;
    case FrameType.missingRuns:
    case FrameType.missedPages:
    case FrameType.stillMissing: {
      const collector = new RunListCollector(frameName(type) as RunListFrame, SAMPLE_PAGES);
      collector.add(payload);
      return collector.runs;
    }
    case FrameType.sharedPage:
      return [{ first: decodeSharedPage(payload, SAMPLE_PAGES).page, count: 1 }];
    case FrameType.sharedAsks:
    case FrameType.sharedAcks: {
      const pages: { first: number; count: number }[] = [];
      readSharedPairs(frameName(type), payload, SAMPLE_PAGES, (page) => pages.push({ first: page, count: 1 }));
      return pages;
    }
    case FrameType.heldFilter:
      new HeldFilterCollector().add(payload);
      return [];
    default:
      return [];
  }
}

/** Feeds a stream to a decoder and every decoder behind it; what is thrown must be GW_WIRE_*. */
function feed(decoder: FrameDecoder, stream: Uint8Array): void {
  const thrown = thrownBy(() => {
    decoder.push(stream);
    for (let step = decoder.next(); step.kind === 'frame'; step = decoder.next()) {
      const runs = consume(step.type, step.payload);
      expect(runs.every((run) => run.first >= 0 && run.count > 0 && run.first + run.count <= SAMPLE_PAGES)).toBe(true);
    }
  });
  expect(thrown?.code ?? 'GW_WIRE_').toMatch(/^GW_WIRE_/);
}

const role = fc.constantFrom<PeerRole>('source', 'destination');

test('random bytes', () => {
  fc.assert(
    fc.property(role, fc.uint8Array({ maxLength: 4096 }), (peer, bytes) => feed(new FrameDecoder(peer, 'seen'), bytes)),
    { numRuns: 1_000_000, interruptAfterTimeLimit: FUZZ_MS },
  );
});

test('random payloads behind a valid header', () => {
  const frame = fc.record({ name: fc.constantFrom(...FRAME_NAMES), body: fc.uint8Array({ maxLength: 600 }) });
  fc.assert(
    fc.property(frame, ({ name, body }) => {
      const payload = new Uint8Array(Math.max(FRAMES[name].minBytes, Math.min(body.length, FRAMES[name].maxBytes)));
      payload.set(body.subarray(0, payload.length));
      const thrown = thrownBy(() => consume(FrameType[name], payload));
      expect(thrown?.code ?? 'GW_WIRE_FRAME_INVALID').toBe('GW_WIRE_FRAME_INVALID');
    }),
    { numRuns: 1_000_000, interruptAfterTimeLimit: FUZZ_MS },
  );
});

test('valid frames with bytes changed, taken away or doubled', () => {
  const small = FRAME_NAMES.filter((name) => FRAME_SAMPLES[name].length < 20_000);
  const change = fc.record({
    at: fc.nat(),
    cut: fc.nat(3),
    bytes: fc.uint8Array({ maxLength: 4 }),
  });
  fc.assert(
    fc.property(fc.constantFrom(...small), fc.array(change, { minLength: 1, maxLength: 4 }), (name, changes) => {
      const mutated = changes.reduce((bytes, { at, cut, bytes: inserted }) => {
        const position = at % bytes.length;
        return Buffer.concat([bytes.subarray(0, position), inserted, bytes.subarray(position + cut)]);
      }, Buffer.from(FRAME_SAMPLES[name]));
      feed(new FrameDecoder(senderOf(name as FrameName), 'seen'), mutated);
    }),
    { numRuns: 1_000_000, interruptAfterTimeLimit: FUZZ_MS },
  );
});
