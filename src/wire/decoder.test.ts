/** The frame decoder: every frame kind, every split, every rejection. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { withLarger } from '../../test/support/further-cases.ts';
import { naiveFrame, naiveSplit } from '../../test/support/naive-wire.ts';
import { decodeAll, FRAME_NAMES, FRAME_SAMPLES, senderOf, thrownBy } from '../../test/support/wire-samples.ts';
import { FrameDecoder } from './decoder.ts';
import { encodeChunkHeader, PREFACE } from './encoder.ts';
import { FRAMES, FrameType, type PeerRole } from './frame-types.ts';
import { DECODER_BUFFER_BYTES, MAX_FRAME_PAYLOAD, MAX_STATE_CHUNK } from './limits.ts';

const join = (...parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

/** What the decoder says of a bare header. */
function judge(header: Uint8Array, peer: PeerRole = 'source') {
  return thrownBy(() => decodeAll(peer, [header]));
}

/** A stateChunk frame with `bytes` bytes of data. */
function chunkFrame(bytes: number): Uint8Array {
  return join(encodeChunkHeader('stateChunk', bytes), new Uint8Array(bytes).fill(bytes));
}

/** Every byte of its beginning and its end, and what lies between in thirty steps; each takes a decoder with a buffer of its own. */
function cutsOf(bytes: number): readonly number[] {
  const stride = Math.max(1, Math.ceil(bytes / 30));
  const all = Array.from({ length: bytes }, (_, cut) => cut);
  const ends = all.filter((cut) => cut < 16 || cut >= bytes - 16);
  return withLarger(
    ends,
    all.slice(16, -16).filter((cut) => cut % stride === 0),
  );
}

describe('each frame kind', () => {
  test.each(FRAME_NAMES)('%s comes out as it went in, whatever the cut', (name) => {
    const frame = FRAME_SAMPLES[name];
    const whole = [{ type: FRAMES[name].code, payload: frame.subarray(8) }];
    const results = cutsOf(frame.length).map((cut) =>
      decodeAll(senderOf(name), [frame.subarray(0, cut), frame.subarray(cut)]),
    );
    expect(results.every((frames) => Buffer.compare(frames[0]!.payload, whole[0]!.payload) === 0)).toBe(true);
    expect(results.every((frames) => frames.length === 1 && frames[0]!.type === whole[0]!.type)).toBe(true);
  });

  test.each(FRAME_NAMES)('%s agrees with the naive codec', (name) => {
    const frame = FRAME_SAMPLES[name];
    expect(naiveFrame(FRAMES[name].code, frame.slice(8))).toEqual(frame);
    expect(decodeAll(senderOf(name), [frame])).toEqual(naiveSplit(frame));
  });

  test.each(FRAME_NAMES)('%s without its last byte needs more', (name) => {
    expect(decodeAll(senderOf(name), [FRAME_SAMPLES[name].subarray(0, -1)])).toEqual([]);
  });

  test.each(FRAME_NAMES)('%s is refused above its limit, from the header alone', (name) => {
    const { code, maxBytes } = FRAMES[name];
    const header = naiveFrame(code, new Uint8Array(maxBytes + 1)).subarray(0, 8);
    expect(judge(header, senderOf(name))?.code).toBe('GW_WIRE_FRAME_TOO_LARGE');
  });

  test.each(FRAME_NAMES)('%s is awaited at its limit', (name) => {
    const { code, maxBytes } = FRAMES[name];
    const header = naiveFrame(code, new Uint8Array(maxBytes)).subarray(0, 8);
    expect(judge(header, senderOf(name))).toBeUndefined();
  });

  test.each(FRAME_NAMES)('%s is refused below its least size', (name) => {
    const { code, minBytes } = FRAMES[name];
    const header = naiveFrame(code, new Uint8Array(minBytes - 1)).subarray(0, 8);
    expect(judge(header, senderOf(name))).toEqual({
      code: 'GW_WIRE_FRAME_INVALID',
      reason: `${minBytes - 1} bytes are too few`,
    });
  });

  test.each(
    FRAME_NAMES.filter((name) => FRAMES[name].sender !== 'both'),
  )('%s is refused from the wrong side', (name) => {
    const wrong = senderOf(name) === 'source' ? 'destination' : 'source';
    expect(judge(FRAME_SAMPLES[name].subarray(0, 8), wrong)).toEqual({
      code: 'GW_WIRE_FRAME_INVALID',
      reason: `a ${wrong} never sends it`,
    });
  });
});

describe('header', () => {
  test('golden vector: a ping', () => {
    const payload = new TextEncoder().encode('{"token":7,"wallMs":1.5}');
    const frame = join(hex('18000000 08 00 0000'), payload);
    expect(frame).toEqual(FRAME_SAMPLES.ping);
    expect(decodeAll('destination', [frame])).toEqual([{ type: FrameType.ping, payload }]);
  });

  test.each([0, 14, 63, 79, 255])('type %i is unknown', (type) => {
    expect(judge(naiveFrame(type, new Uint8Array(100)))?.code).toBe('GW_WIRE_FRAME_UNKNOWN');
  });

  test('an unknown type is refused before its payload came', () => {
    expect(judge(hex('00000100 ff 00 0000'))?.code).toBe('GW_WIRE_FRAME_UNKNOWN');
  });

  test.each([
    ['18000000 08 01 0000', 'its flags are not 0'],
    ['18000000 08 80 0000', 'its flags are not 0'],
    ['18000000 08 00 0100', 'its reserved bits are not 0'],
    ['18000000 08 00 0080', 'its reserved bits are not 0'],
  ])('%s is refused: %s', (header, reason) => {
    expect(judge(hex(header))).toEqual({ code: 'GW_WIRE_FRAME_INVALID', reason });
  });

  test('seven bytes need more', () => {
    expect(judge(hex('18000000 ff 00 00'))).toBeUndefined();
  });

  test('no limit of any frame exceeds MAX_FRAME_PAYLOAD, and no type byte is used twice', () => {
    const rows = Object.values(FRAMES);
    expect(Math.max(...rows.map((row) => row.maxBytes))).toBeLessThanOrEqual(MAX_FRAME_PAYLOAD);
    expect(new Set(rows.map((row) => row.code)).size).toBe(rows.length);
  });
});

describe('preface', () => {
  test('frames follow it, whatever the cut', () => {
    const stream = join(PREFACE, FRAME_SAMPLES.ping);
    const types = Array.from({ length: stream.length }, (_, cut) => {
      const decoder = new FrameDecoder('source');
      decoder.push(stream.subarray(0, cut));
      const early = decoder.next();
      decoder.push(stream.subarray(cut));
      const late = decoder.next();
      return [early.kind, late.kind === 'frame' ? late.type : late.kind];
    });
    expect(types).toEqual(Array(stream.length).fill(['needMore', FrameType.ping]));
  });

  test.each([
    'H',
    'GET / HTTP/1.1\r\n',
    'GODWIT\n\n',
    '\x16\x03\x01',
  ])('%j is refused at the first wrong byte', (text) => {
    const decoder = new FrameDecoder('source');
    decoder.push(new TextEncoder().encode(text));
    expect(thrownBy(() => decoder.next())?.code).toBe('GW_WIRE_BAD_MAGIC');
  });

  test.each([1, 4, 7])('a wrong last byte is refused although the first %i came alone', (cut) => {
    const bytes = new TextEncoder().encode('GODWIT\r\r');
    const decoder = new FrameDecoder('source');
    decoder.push(bytes.subarray(0, cut));
    expect(decoder.next().kind).toBe('needMore');
    decoder.push(bytes.subarray(cut));
    expect(thrownBy(() => decoder.next())?.code).toBe('GW_WIRE_BAD_MAGIC');
  });
});

describe('buffer', () => {
  test('hands out frames without a copy', () => {
    const decoder = new FrameDecoder('source', 'seen');
    const space = decoder.writable();
    space.set(FRAME_SAMPLES.stateChunk);
    decoder.commit(FRAME_SAMPLES.stateChunk.length);
    expect(decoder.next()).toMatchObject({ kind: 'frame', payload: { buffer: space.buffer, byteOffset: 8 } });
  });

  test('frames of every size survive reads of every size, across many turns of the buffer', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: MAX_STATE_CHUNK }), { minLength: 12, maxLength: 20 });
    const reads = fc.infiniteStream(fc.integer({ min: 1, max: DECODER_BUFFER_BYTES }));
    fc.assert(
      fc.property(sizes, reads, (frameBytes, readBytes) => {
        const stream = join(...frameBytes.map(chunkFrame));
        const decoder = new FrameDecoder('source', 'seen');
        const got: number[] = [];
        let at = 0;
        while (at < stream.length) {
          const space = decoder.writable();
          expect(space.length).toBeGreaterThan(0);
          const part = stream.subarray(at, at + Math.min(space.length, readBytes.next().value!));
          space.set(part);
          decoder.commit(part.length);
          at += part.length;
          for (let step = decoder.next(); step.kind === 'frame'; step = decoder.next()) {
            got.push(step.payload.length);
            expect([step.payload[0], step.payload.at(-1)]).toEqual([
              step.payload.length & 0xff,
              step.payload.length & 0xff,
            ]);
          }
        }
        expect(got).toEqual(frameBytes);
        expect(decoder.bufferedBytes).toBe(0);
      }),
      { numRuns: 15, interruptAfterTimeLimit: 3000 },
    );
  });

  test('leftover bytes are counted', () => {
    const decoder = new FrameDecoder('source', 'seen');
    decoder.push(join(FRAME_SAMPLES.ping, hex('180000')));
    decoder.next();
    expect(decoder.bufferedBytes).toBe(3);
  });

  test('says so when it is full of frames that nobody took', () => {
    const decoder = new FrameDecoder('source', 'seen');
    decoder.commit(decoder.writable().length);
    expect(thrownBy(() => decoder.writable())?.code).toBe('GW_INTERNAL');
  });

  test.each([-1, DECODER_BUFFER_BYTES + 1, Number.NaN])('refuses a commit of %i bytes', (bytes) => {
    const decoder = new FrameDecoder('source', 'seen');
    expect(thrownBy(() => decoder.commit(bytes))?.code).toBe('GW_INTERNAL');
  });

  test('refuses a chunk that does not fit and keeps nothing of it', () => {
    const decoder = new FrameDecoder('source', 'seen');
    expect(thrownBy(() => decoder.push(new Uint8Array(DECODER_BUFFER_BYTES + 1)))?.code).toBe('GW_INTERNAL');
    expect(decoder.bufferedBytes).toBe(0);
  });

  test('throws the same error again after the first', () => {
    const decoder = new FrameDecoder('source', 'seen');
    decoder.push(hex('00000100 ff 00 0000'));
    const first = captured(() => decoder.next());
    decoder.push(FRAME_SAMPLES.ping);
    expect(captured(() => decoder.next())).toBe(first);
  });
});

function captured(act: () => unknown): unknown {
  try {
    return act();
  } catch (thrown) {
    return thrown;
  }
}
