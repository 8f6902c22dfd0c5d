/**
 * One valid example of every frame, and tools to take streams apart in tests.
 *
 * Owns: the examples. A frame type without an example does not compile.
 */
import { GodwitError } from '../../src/base/errors.ts';
import { FrameDecoder } from '../../src/wire/decoder.ts';
import {
  encodeChunkHeader,
  encodeDigestedPagesHeader,
  encodePageReplyHeader,
  encodePageRequest,
  encodePagesHeader,
  encodeRunList,
  encodeZeroPages,
} from '../../src/wire/encoder.ts';
import { type ControlName, FRAMES, type FrameName, type PeerRole } from '../../src/wire/frame-types.ts';
import { encodeHeldFilter } from '../../src/wire/held-filter.ts';
import { encodeControl } from '../../src/wire/message-codec.ts';
import type { ControlMessage, Message } from '../../src/wire/messages.ts';
import { encodePackedPagesHeader } from '../../src/wire/packed-pages.ts';
import { SharedWriter } from '../../src/wire/shared-writer.ts';

/** The guest of the examples. */
export const SAMPLE_PAGES = 4096;

const error = {
  code: 'GW_SYS_NO_ROOM',
  message: 'Not enough memory',
  details: { needed: 2, inner: [null, true, 'x'] },
};
const digest = { scheme: 'xxh3-128', pages: 4096, digest: 'ab'.repeat(16), chunks: ['cd'.repeat(16)] } as const;

export const MESSAGE_SAMPLES: { readonly [N in ControlName]: Message<N> } = {
  hello: { kind: 'hello', minVersion: 1, maxVersion: 1, features: ['post-copy'], host: 'a', software: 'godwit 0.1.0' },
  welcome: { kind: 'welcome', version: 1, features: ['post-copy'], host: 'b', wallMs: 1_700_000_000_000.25 },
  offer: {
    kind: 'offer',
    migrationId: '01234567-89ab-cdef-0123-456789abcdef',
    sessionKey: '0f'.repeat(32),
    epoch: 3,
    mode: 'auto',
    verify: 'xxh3-128',
    checkOnly: false,
    sourceHost: 'a',
    vm: {
      name: 'web1',
      uuid: null,
      wasRunning: true,
      qemuVersion: '7.2.0',
      machineType: 'pc-q35-7.2',
      accel: 'tcg',
      cpuModel: 'qemu64',
      cpuFeatures: ['sse2'],
      binary: '/usr/bin/qemu-system-x86_64',
      args: ['-m', '16M', 'line\nbreak'],
      memory: { regions: [{ id: 'ram0', bytes: 16 * 1024 * 1024 }] },
      diskPaths: ['/srv/web1.qcow2'],
      consoleBytes: 12,
      facts: { vcpus: 2 },
    },
  },
  ready: { kind: 'ready', host: 'b', digestSchemes: ['xxh3-128', 'sha256'], notes: ['no /dev/userfaultfd'] },
  notReady: { kind: 'notReady', reason: 'The VM is still leaving' },
  begin: { kind: 'begin' },
  offerRegion: {
    kind: 'offerRegion',
    group: '01234567-89ab-cdef-0123-456789abcdef',
    sessionKey: '0f'.repeat(32),
    sourceHost: 'a',
    region: { name: 'ring', bytes: 4096 * 4096 },
    vms: ['web1', 'db1'],
  },
  regionReady: { kind: 'regionReady', host: 'b' },
  refused: { kind: 'refused', error },
  join: { kind: 'join', sessionKey: '0f'.repeat(32), purpose: 'urgent' },
  joined: { kind: 'joined', phase: 'pagingIn', epoch: 3 },
  ping: { kind: 'ping', token: 7, wallMs: 1.5 },
  pong: { kind: 'pong', token: 7, wallMs: 2.5, receivedWallMs: 2.25 },
  roundEnd: { kind: 'roundEnd', round: 1, frames: 90 },
  roundAck: { kind: 'roundAck', round: 1 },
  switchover: {
    kind: 'switchover',
    wasRunning: true,
    pagesMissing: true,
    history: [{ atMs: 1_700_000_000_000.5, pagesPerSecond: 31_250 }],
  },
  stopped: { kind: 'stopped' },
  stateEnd: {
    kind: 'stateEnd',
    bytes: 290_000,
    stoppedAtMs: 5.5,
    clockOffsetMs: -1.25,
    clockUncertaintyMs: 0.1,
    lastPages: 17,
    frames: 91,
    missingPages: 12,
    digest,
  },
  loaded: { kind: 'loaded', digest: null, loadMs: 4.25, timings: { receive: 1.5 } },
  commit: { kind: 'commit', epoch: 3 },
  resumed: { kind: 'resumed', epoch: 3, resumedAtMs: null, timings: {} },
  allPresent: {
    kind: 'allPresent',
    pages: 12,
    postCopy: { faults: 5, faultMicrosecondsP50: 80.5, faultMicrosecondsP99: 900, pushedPages: 7, residentMs: 120 },
    digest: null,
    timings: {},
  },
  release: { kind: 'release' },
  released: { kind: 'released' },
  abort: { kind: 'abort', cancelled: true, error },
  aborted: { kind: 'aborted' },
  failed: { kind: 'failed', owned: true, error },
  regionBegin: { kind: 'regionBegin' },
  regionComplete: { kind: 'regionComplete' },
  regionCompleted: { kind: 'regionCompleted' },
  regionCancel: { kind: 'regionCancel' },
};

type BinaryName = Exclude<FrameName, ControlName>;

const contents = (pages: number) => Uint8Array.from({ length: pages * 4096 }, (_, i) => (i * 7 + (i >>> 12)) & 0xff);
const digests = (pages: number) => Uint8Array.from({ length: pages * 16 }, (_, i) => 255 - (i & 0xff));
const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

function writtenBy(write: (writer: SharedWriter) => void): Uint8Array {
  const writer = new SharedWriter();
  write(writer);
  return writer.pending.slice();
}

export const BINARY_SAMPLES: { readonly [N in BinaryName]: Uint8Array } = {
  pages: join(
    encodePagesHeader([
      { first: 1, count: 1 },
      { first: 4094, count: 2 },
    ]),
    contents(3),
  ),
  digestedPages: join(encodeDigestedPagesHeader([{ first: 9, count: 2 }], digests(2)), contents(2)),
  zeroPages: encodeZeroPages([
    { first: 0, count: 5 },
    { first: 5, count: 4091 },
  ]),
  missingRuns: join(...encodeRunList('missingRuns', [{ first: 3, count: 4 }])),
  stateChunk: join(encodeChunkHeader('stateChunk', 5), Uint8Array.of(81, 69, 86, 77, 0)),
  consoleChunk: join(encodeChunkHeader('consoleChunk', 2), Uint8Array.of(104, 105)),
  pageRequest: encodePageRequest(0xfffffffe, { first: 4080, count: 16 }),
  pageReply: join(
    encodePageReplyHeader(
      0xfffffffe,
      [
        { first: 4, count: 1, kind: 'data' },
        { first: 5, count: 2, kind: 'zero' },
        { first: 8, count: 3, kind: 'zero' },
        { first: 11, count: 1, kind: 'data' },
      ],
      digests(2),
    ),
    contents(2),
  ),
  stillMissing: join(...encodeRunList('stillMissing', [])),
  packedPages: join(
    encodePackedPagesHeader(
      {
        codec: 'none',
        runs: [
          { first: 1, count: 2, kind: 'delta' },
          { first: 3, count: 1, kind: 'data' },
          { first: 9, count: 1, kind: 'held' },
          { first: 11, count: 1, kind: 'elsewhere' },
        ],
        bodyBytes: 8 + 64 + 8 + 128 + 4096 + 16 + 28,
        digests: undefined,
      },
      8 + 64 + 8 + 128 + 4096 + 16 + 28,
    ),
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 128),
    contents(1).subarray(0, 64),
    Uint8Array.of(2, 0, 0, 0, 1, 0, 0, 0),
    contents(1).subarray(0, 128),
    contents(1),
    contents(1).subarray(0, 16),
    contents(1).subarray(0, 28),
  ),
  heldFilter: join(...encodeHeldFilter('fleet', contents(1))),
  missedPages: join(...encodeRunList('missedPages', [{ first: 3, count: 2 }])),
  sharedPage: writtenBy((writer) => writer.page(4095, 3, contents(1))),
  sharedAsks: writtenBy((writer) => {
    writer.pair('sharedAsks', 0, 0);
    writer.pair('sharedAsks', 4095, 7);
  }),
  sharedAcks: writtenBy((writer) => writer.pair('sharedAcks', 1, 0xffff_ffff)),
};

/** Whole frames by name. */
export const FRAME_SAMPLES = {
  ...Object.fromEntries(Object.entries(MESSAGE_SAMPLES).map(([name, m]) => [name, encodeControl(m as ControlMessage)])),
  ...BINARY_SAMPLES,
} as Readonly<Record<FrameName, Uint8Array>>;

export const FRAME_NAMES = Object.keys(FRAMES) as FrameName[];
export const CONTROL_NAMES = Object.keys(MESSAGE_SAMPLES) as ControlName[];

/** Somebody who may send this frame. */
export function senderOf(name: FrameName): PeerRole {
  const { sender } = FRAMES[name];
  return sender === 'both' ? 'source' : sender;
}

export function payloadOf(frame: Uint8Array): Uint8Array {
  return frame.subarray(8);
}

/** Feeds chunks to a decoder that has seen the preface, and copies out every frame. */
export function decodeAll(peer: PeerRole, chunks: readonly Uint8Array[]): { type: number; payload: Uint8Array }[] {
  const decoder = new FrameDecoder(peer, 'seen');
  const frames: { type: number; payload: Uint8Array }[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    for (let step = decoder.next(); step.kind === 'frame'; step = decoder.next()) {
      frames.push({ type: step.type, payload: step.payload.slice() });
    }
  }
  return frames;
}

/** The code and details of what `act` throws; anything but a GodwitError is thrown on. */
export function thrownBy(act: () => unknown): { code: string; reason: unknown } | undefined {
  try {
    act();
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof GodwitError)) throw thrown;
    const { reason } = thrown.details;
    return { code: thrown.code, reason };
  }
}
