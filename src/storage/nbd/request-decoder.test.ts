import fc from 'fast-check';
import { expect, test } from 'vitest';
import { triedFor } from '../../../test/support/further-cases.ts';
import { asGodwitError } from '../../base/errors.ts';
import { MAX_REQUEST_BYTES } from './limits.ts';
import { type NbdRequest, RequestDecoder } from './request-decoder.ts';

const FUZZ_MS = triedFor(1000);

interface Wanted {
  readonly command: number;
  readonly flags: number;
  readonly cookie: bigint;
  readonly offset: bigint;
  readonly data: Uint8Array;
}

/** By DataView, field after field as the protocol has them. */
function encode({ command, flags, cookie, offset, data }: Wanted, bytes: number = data.length): Uint8Array {
  const out = new Uint8Array(28 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, 0x25609513);
  view.setUint16(4, flags);
  view.setUint16(6, command);
  view.setBigUint64(8, cookie);
  view.setBigUint64(16, offset);
  view.setUint32(24, bytes);
  out.set(data, 28);
  return out;
}

function decodeAll(decoder: RequestDecoder, pieces: readonly Uint8Array[]): NbdRequest[] {
  const found: NbdRequest[] = [];
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const room = decoder.writable();
      const count = Math.min(room.length, piece.length - at);
      expect(count).toBeGreaterThan(0);
      room.set(piece.subarray(at, at + count));
      decoder.commit(count);
      at += count;
      for (let request = decoder.next(); request; request = decoder.next()) found.push(request);
    }
  }
  return found;
}

function create(): RequestDecoder {
  return new RequestDecoder((bytes) => new Uint8Array(bytes));
}

const wanted: fc.Arbitrary<Wanted> = fc.record({
  command: fc.constantFrom(0, 1, 1, 1, 3, 4, 6, 7, 99),
  flags: fc.nat(0xffff),
  cookie: fc.bigInt(0n, 2n ** 64n - 1n),
  offset: fc.bigInt(0n, 2n ** 53n - 1n),
  data: fc.uint8Array({ maxLength: 600 }),
});

test('a read as its bytes', () => {
  const bytes = Buffer.from('25609513000400000123456789abcdef000000010000100000010000', 'hex');
  expect(decodeAll(create(), [bytes])).toEqual([
    {
      ...{ command: 0, flags: 4, cookieHigh: 0x01234567, cookieLow: 0x89abcdef },
      ...{ offset: 2 ** 32 + 4096, bytes: 65536, data: undefined },
    },
  ]);
});

test('requests come out as they were sent, whatever the pieces', () => {
  fc.assert(
    fc.property(fc.array(wanted, { maxLength: 6 }), fc.array(fc.nat(4000), { maxLength: 12 }), (requests, cuts) => {
      const sent = requests.map((each) => (each.command === 1 ? each : { ...each, data: new Uint8Array() }));
      const stream = Buffer.concat(sent.map((each) => encode(each)));
      const at = [0, ...cuts.map((cut) => Math.min(cut, stream.length)).sort((a, b) => a - b), stream.length];
      const pieces = at.slice(1).map((end, index) => stream.subarray(at[index], end));
      const found = decodeAll(create(), pieces).map((each) => ({
        ...{ command: each.command, flags: each.flags, offset: BigInt(each.offset) },
        cookie: (BigInt(each.cookieHigh) << 32n) | BigInt(each.cookieLow),
        data: new Uint8Array(each.data ?? []),
      }));
      expect(found).toEqual(sent.map((each) => ({ ...each, data: new Uint8Array(each.data) })));
    }),
    { numRuns: 1_000_000, interruptAfterTimeLimit: FUZZ_MS },
  );
});

test('a write larger than the buffer arrives whole', () => {
  const data = Uint8Array.from({ length: 700_001 }, (_, index) => index * 7);
  const stream = Buffer.from(encode({ command: 1, flags: 0, cookie: 5n, offset: 0n, data }));
  const [request] = decodeAll(create(), [
    stream,
    encode({ command: 3, flags: 0, cookie: 6n, offset: 0n, data: new Uint8Array() }),
  ]);
  expect(Buffer.compare(request!.data!, data)).toBe(0);
});

test('a write over the limit is refused before memory for it is taken', () => {
  let taken = 0;
  const decoder = new RequestDecoder((bytes) => {
    taken += bytes;
    return new Uint8Array(bytes);
  });
  const header = encode(
    { command: 1, flags: 0, cookie: 1n, offset: 0n, data: new Uint8Array() },
    MAX_REQUEST_BYTES + 1,
  );
  expect(() => decodeAll(decoder, [header])).toThrow(/33554433 bytes at once/);
  expect(taken).toBe(0);
});

test('after an error every later call throws it again', () => {
  const decoder = create();
  expect(() => decodeAll(decoder, [new Uint8Array(28)])).toThrow(/begins with 0000000000000000/);
  expect(() => decoder.next()).toThrow(/begins with/);
});

test('of whatever comes only GW_NBD_PROTOCOL comes out', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          wanted.map((each) => encode(each)),
          fc.uint8Array({ maxLength: 200 }),
        ),
      ),
      (pieces) => {
        const code = codeOf(() =>
          decodeAll(
            create(),
            pieces.filter(({ length }) => length > 0),
          ),
        );
        expect(['none', 'GW_NBD_PROTOCOL']).toContain(code);
      },
    ),
    { numRuns: 1_000_000, interruptAfterTimeLimit: FUZZ_MS },
  );
});

function codeOf(act: () => void): string {
  try {
    act();
    return 'none';
  } catch (error) {
    return asGodwitError(error).code;
  }
}
