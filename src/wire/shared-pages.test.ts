import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeAll, payloadOf, thrownBy } from '../../test/support/wire-samples.ts';
import { FRAMES, FrameType } from './frame-types.ts';
import { MAX_SHARED_PAIRS } from './limits.ts';
import { decodeSharedPage, readSharedPairs } from './shared-pages.ts';
import { SharedWriter } from './shared-writer.ts';

const PAGES = 1000;
const contents = (value: number): Uint8Array => new Uint8Array(4096).fill(value);

function written(write: (writer: SharedWriter) => void): Uint8Array {
  const writer = new SharedWriter();
  write(writer);
  return writer.pending.slice();
}

/** What a receiver makes of the bytes. */
function readBack(chunks: readonly Uint8Array[]): string[] {
  return decodeAll('source', chunks).flatMap(({ type, payload }) => {
    if (type === FrameType.sharedPage) {
      const { page, turn, data } = decodeSharedPage(payload, PAGES);
      return [`page ${page} ${turn} ${data === null ? 'zeros' : data[4095]}`];
    }
    if (type === FrameType.ping) return ['ping'];
    const name = type === FrameType.sharedAsks ? 'sharedAsks' : 'sharedAcks';
    const pairs: string[] = [];
    readSharedPairs(name, payload, PAGES, (page, turn) => pairs.push(`${name} ${page} ${turn}`));
    return pairs;
  });
}

const PING = Uint8Array.from([2, 0, 0, 0, FRAMES.ping.code, 0, 0, 0, 123, 125]);

test('a page, byte by byte', () => {
  const frame = written((writer) => writer.page(0x0102, 0x03040506, contents(9)));
  expect([...frame.subarray(0, 16)]).toEqual([8, 16, 0, 0, 76, 0, 0, 0, 2, 1, 0, 0, 6, 5, 4, 3]);
  expect(frame.length).toBe(16 + 4096);
  expect(frame.subarray(16).every((byte) => byte === 9)).toBe(true);
});

test('pairs that follow each other share a frame', () => {
  const frame = written((writer) => {
    writer.pair('sharedAcks', 1, 2);
    writer.pair('sharedAcks', 3, 4);
  });
  expect([...frame]).toEqual([16, 0, 0, 0, 78, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
});

test('a frame of pairs ends at its limit, and where something else was said', () => {
  const frames = decodeAll('source', [
    written((writer) => {
      for (let page = 0; page <= MAX_SHARED_PAIRS; page++) writer.pair('sharedAsks', page, 0);
      writer.pair('sharedAcks', 1, 1);
      writer.page(2, 1, null);
      writer.pair('sharedAcks', 2, 1);
      writer.frame(PING);
      writer.pair('sharedAcks', 3, 1);
    }),
  ]);
  expect(frames.map(({ type, payload }) => [type, payload.length])).toEqual([
    [77, MAX_SHARED_PAIRS * 8],
    [77, 8],
    [78, 8],
    [76, 8],
    [78, 8],
    [9 - 1, 2],
    [78, 8],
  ]);
});

test('a frame of which a part was taken does not grow any more', () => {
  const writer = new SharedWriter();
  writer.pair('sharedAcks', 1, 1);
  const first = writer.pending.slice(0, 4);
  writer.taken(4);
  writer.pair('sharedAcks', 2, 1);
  expect(readBack([first, writer.pending])).toEqual(['sharedAcks 1 1', 'sharedAcks 2 1']);
});

test('what is said comes back in its order, whatever the kernel takes at a time', () => {
  const page = fc.nat(PAGES - 1);
  const turn = fc.nat(0xffff_ffff);
  const said = fc.oneof(
    fc.record({ kind: fc.constant('page' as const), page, turn, fill: fc.option(fc.nat(255)) }),
    fc.record({ kind: fc.constantFrom('sharedAsks' as const, 'sharedAcks' as const), page, turn }),
    fc.record({ kind: fc.constant('ping' as const) }),
    fc.record({ kind: fc.constant('taken' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  );
  fc.assert(
    fc.property(fc.array(said, { maxLength: 200 }), (all) => {
      const writer = new SharedWriter();
      const chunks: Uint8Array[] = [];
      const expected: string[] = [];
      const take = (bytes: number): void => {
        chunks.push(writer.pending.slice(0, bytes));
        writer.taken(bytes);
      };
      for (const each of all) {
        if (each.kind === 'taken') take(Math.floor(writer.pendingBytes * each.share));
        else if (each.kind === 'ping') {
          writer.frame(PING);
          expected.push('ping');
        } else if (each.kind === 'page') {
          writer.page(each.page, each.turn, each.fill === null ? null : contents(each.fill));
          expected.push(`page ${each.page} ${each.turn} ${each.fill ?? 'zeros'}`);
        } else {
          writer.pair(each.kind, each.page, each.turn);
          expected.push(`${each.kind} ${each.page} ${each.turn}`);
        }
      }
      take(writer.pendingBytes);
      expect(writer.pendingBytes).toBe(0);
      expect(readBack(chunks)).toEqual(expected);
    }),
  );
});

test.each([
  ['a page beyond the region', () => decodeSharedPage(payloadOf(written((w) => w.page(PAGES, 1, null))), PAGES)],
  ['half a page', () => decodeSharedPage(new Uint8Array(8 + 2048), PAGES)],
  ['half a pair', () => readSharedPairs('sharedAsks', new Uint8Array(12), PAGES, () => undefined)],
  [
    'a pair beyond the region',
    () => readSharedPairs('sharedAcks', payloadOf(written((w) => w.pair('sharedAcks', PAGES, 1))), PAGES, () => 0),
  ],
])('%s is refused', (_, act) => {
  expect(thrownBy(act)?.code).toBe('GW_WIRE_FRAME_INVALID');
});

test('a page of another size is not written', () => {
  expect(thrownBy(() => new SharedWriter().page(1, 1, new Uint8Array(5)))?.code).toBe('GW_INTERNAL');
});
