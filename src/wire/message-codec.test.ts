/** The control messages: round trips, strictness, and every bound. */
import { describe, expect, test } from 'vitest';
import { CONTROL_NAMES, MESSAGE_SAMPLES, thrownBy } from '../../test/support/wire-samples.ts';
import { type ControlName, FrameType } from './frame-types.ts';
import { MAX_JSON_VALUES } from './limits.ts';
import { decodeControl, encodeControl, isControl } from './message-codec.ts';
import type { ControlMessage } from './messages.ts';

const utf8 = new TextEncoder();

/** What the decoder says of this JSON. */
function judge(kind: ControlName, json: unknown) {
  return thrownBy(() => decodeControl(FrameType[kind], utf8.encode(JSON.stringify(json))));
}

/** A sample as a mutable tree without its kind. */
function bodyOf(kind: ControlName): Record<string, unknown> {
  const { kind: _, ...body } = structuredClone(MESSAGE_SAMPLES[kind]) as Record<string, unknown>;
  return body;
}

/** A sample with one field changed; the path's parts are separated by dots. */
function withField(kind: ControlName, path: string, value: unknown): Record<string, unknown> {
  const body = bodyOf(kind);
  const keys = path.split('.');
  const last = keys.pop()!;
  const parent = keys.reduce<Record<string, unknown>>((at, key) => at[key] as Record<string, unknown>, body);
  parent[last] = value;
  return body;
}

describe('each message', () => {
  test.each(CONTROL_NAMES)('%s round trips', (kind) => {
    const frame = encodeControl(MESSAGE_SAMPLES[kind]);
    expect(decodeControl(FrameType[kind], frame.subarray(8))).toEqual(MESSAGE_SAMPLES[kind]);
  });

  test.each(CONTROL_NAMES)('%s is JSON of its fields alone', (kind) => {
    const frame = encodeControl(MESSAGE_SAMPLES[kind]);
    expect(JSON.parse(new TextDecoder().decode(frame.subarray(8)))).toEqual(bodyOf(kind));
  });

  test.each(CONTROL_NAMES)('%s with a field more is refused', (kind) => {
    expect(judge(kind, { ...bodyOf(kind), extra: 1 })).toEqual({
      code: 'GW_WIRE_FRAME_INVALID',
      reason: 'the message: Unrecognized key: "extra"',
    });
  });

  test.each(
    CONTROL_NAMES.flatMap((kind) => Object.keys(bodyOf(kind)).map((key) => [kind, key] as const)),
  )('%s without %s is refused', (kind, key) => {
    const { [key]: _, ...rest } = bodyOf(kind);
    expect(judge(kind, rest)?.reason).toMatch(new RegExp(`^${key}(\\.|:)`));
  });

  test.each(
    CONTROL_NAMES.flatMap((kind) => Object.keys(bodyOf(kind)).map((key) => [kind, key] as const)),
  )('%s with %s of the wrong type is refused', (kind, key) => {
    expect(judge(kind, { ...bodyOf(kind), [key]: [[]] })?.reason).toMatch(new RegExp(`^${key}(\\.|:)`));
  });
});

const deep = (levels: number): unknown => (levels === 0 ? 1 : { a: deep(levels - 1) });

const REFUSED: readonly (readonly [kind: ControlName, path: string, value: unknown])[] = [
  ['hello', 'minVersion', 0],
  ['hello', 'maxVersion', 65_536],
  ['hello', 'minVersion', 1.5],
  ['hello', 'features', Array(65).fill('a')],
  ['hello', 'features', ['Post-Copy']],
  ['hello', 'features', ['a'.repeat(33)]],
  ['hello', 'host', ''],
  ['hello', 'host', 'x'.repeat(256)],
  ['hello', 'host', 'a\u001b[31m'],
  ['hello', 'host', 'a\u0085'],
  ['welcome', 'wallMs', -1],
  ['welcome', 'wallMs', 1e15],
  ['offer', 'migrationId', '../../etc'],
  ['offer', 'migrationId', '01234567-89AB-cdef-0123-456789abcdef'],
  ['offer', 'sessionKey', '0f'.repeat(31)],
  ['offer', 'sessionKey', '0g'.repeat(32)],
  ['offer', 'epoch', -1],
  ['offer', 'epoch', 2 ** 53],
  ['offer', 'mode', 'fast'],
  ['offer', 'verify', 'md5'],
  ['offer', 'vm.name', '../x'],
  ['offer', 'vm.name', '.'],
  ['offer', 'vm.name', 'a/b'],
  ['offer', 'vm.name', ''],
  ['offer', 'vm.name', 'a'.repeat(64)],
  ['offer', 'vm.uuid', 'x'],
  ['offer', 'vm.cpuFeatures', Array(1025).fill('x')],
  ['offer', 'vm.binary', 'x'.repeat(4097)],
  ['offer', 'vm.binary', '/bin/a\0b'],
  ['offer', 'vm.args', Array(4097).fill('x')],
  ['offer', 'vm.args', ['x'.repeat(32 * 1024 + 1)]],
  ['offer', 'vm.args', ['a\0b']],
  ['offer', 'vm.memory.regions', []],
  ['offer', 'vm.memory.regions', Array.from({ length: 65 }, (_, i) => ({ id: `r${i}`, bytes: 4096 }))],
  ['offer', 'vm.memory.regions', Array(2).fill({ id: 'same', bytes: 4096 })],
  ['offer', 'vm.memory.regions', [{ id: 'a', bytes: 4097 }]],
  ['offer', 'vm.memory.regions', [{ id: 'a', bytes: 0 }]],
  ['offer', 'vm.memory.regions', [{ id: 'a', bytes: 2 ** 43 + 4096 }]],
  ['offer', 'vm.memory.regions', ['a', 'b'].map((id) => ({ id, bytes: 2 ** 43 }))],
  ['offer', 'vm.memory.regions', [{ id: 'a', bytes: 4096, more: 1 }]],
  ['offer', 'vm.diskPaths', Array(257).fill('/x')],
  ['offer', 'vm.consoleBytes', -1],
  ['offer', 'vm.facts', [1]],
  ['offer', 'vm.facts', deep(8)],
  ['offer', 'vm.facts', { list: Array(MAX_JSON_VALUES).fill(0) }],
  ['offer', 'vm.facts', JSON.parse('{"__proto__": {"polluted": true}}')],
  ['offer', 'vm.more', 1],
  ['ready', 'digestSchemes', ['crc32']],
  ['ready', 'notes', Array(65).fill('x')],
  ['ready', 'notes', ['x'.repeat(8193)]],
  ['notReady', 'reason', 'x'.repeat(8193)],
  ['refused', 'error.code', 'EVIL'],
  ['refused', 'error.message', 'a\u0007'],
  ['refused', 'error.message', 'x'.repeat(8193)],
  ['refused', 'error.details', null],
  ['refused', 'error.stack', 'at x.ts:1'],
  ['join', 'purpose', 'spy'],
  ['joined', 'phase', 'copying'],
  ['ping', 'token', 2 ** 32],
  ['roundEnd', 'round', 2 ** 32],
  ['stateEnd', 'missingPages', 2 ** 31 + 1],
  ['stateEnd', 'clockOffsetMs', 1e16],
  ['stateEnd', 'bytes', -1],
  ['stateEnd', 'digest.scheme', 'md5'],
  ['stateEnd', 'digest.digest', 'ab'.repeat(20)],
  ['stateEnd', 'digest.digest', 'AB'.repeat(16)],
  ['stateEnd', 'digest.chunks', Array(1025).fill('ab'.repeat(16))],
  ['loaded', 'loadMs', 1e12],
  ['loaded', 'timings', { 'a b': 1 }],
  ['loaded', 'timings', { a: -1 }],
  ['loaded', 'timings', Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`t${i}`, 1]))],
  ['allPresent', 'postCopy.faults', -1],
  ['allPresent', 'postCopy.faultMicrosecondsP99', 1e13],
];

describe('bounds', () => {
  test.each(
    REFUSED.map((row, i) => [i, ...row] as const),
  )('%i: %s refuses its %s out of bounds', (_, kind, path, value) => {
    const judged = judge(kind, withField(kind, path, value));
    expect(judged?.code).toBe('GW_WIRE_FRAME_INVALID');
    expect(String(judged?.reason).length).toBeLessThanOrEqual(300);
  });

  test.each<[kind: ControlName, path: string, value: unknown]>([
    ['offer', 'vm.memory.regions', [{ id: 'a', bytes: 2 ** 43 }]],
    ['offer', 'vm.name', 'a'.repeat(63)],
    ['offer', 'vm.facts', deep(7)],
    ['offer', 'vm.args', Array(4096).fill('é\n\u001b')],
    ['notReady', 'reason', 'line one\n\tline two'],
    ['stateEnd', 'digest.digest', 'ab'.repeat(32)],
    ['refused', 'error.code', 'GW_FROM_A_NEWER_VERSION'],
    ['stateEnd', 'stoppedAtMs', null],
  ])('%s accepts its %s at the bound', (kind, path, value) => {
    expect(judge(kind, withField(kind, path, value))).toBeUndefined();
  });

  test('a hello whose versions are the wrong way round is refused', () => {
    expect(judge('hello', withField('hello', 'minVersion', 2))?.reason).toBe(
      'the message: has a minVersion above its maxVersion',
    );
  });

  test('a reason never repeats more than a little of what the peer wrote', () => {
    const judged = judge('commit', { epoch: 1, ['x'.repeat(60_000)]: 1 });
    expect(String(judged?.reason)).toHaveLength(300);
  });
});

describe('not a message', () => {
  test.each(['', '{', 'null', '[]', '"x"', '1', '{"epoch":NaN}'])('commit %j is refused', (json) => {
    expect(thrownBy(() => decodeControl(FrameType.commit, utf8.encode(json)))?.code).toBe('GW_WIRE_FRAME_INVALID');
  });

  test('bytes that are not UTF-8 are refused', () => {
    const judged = thrownBy(() => decodeControl(FrameType.commit, Uint8Array.of(0x22, 0xff, 0x22)));
    expect(judged).toEqual({ code: 'GW_WIRE_FRAME_INVALID', reason: 'it is not JSON in UTF-8' });
  });

  test('a megabyte of nesting is refused, not a stack overflow', () => {
    const json = `{"facts":${'['.repeat(500_000)}${']'.repeat(500_000)}}`;
    expect(thrownBy(() => decodeControl(FrameType.offer, utf8.encode(json)))?.code).toBe('GW_WIRE_FRAME_INVALID');
  });

  test('deep nesting in a free-form field is refused', () => {
    const offer = JSON.stringify(withField('offer', 'vm.facts', { a: 'NEST' }));
    const json = offer.replace('"NEST"', `${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    const judged = thrownBy(() => decodeControl(FrameType.offer, utf8.encode(json)));
    expect(judged?.reason).toMatch(/^vm\.facts: is not an object of at most/);
  });

  test('a binary frame is not a control message', () => {
    expect(thrownBy(() => decodeControl(FrameType.pages, new Uint8Array(9)))).toEqual({
      code: 'GW_WIRE_FRAME_INVALID',
      reason: 'it is not a control message',
    });
    expect([isControl(FrameType.pages), isControl(FrameType.commit)]).toEqual([false, true]);
  });
});

describe('encoding', () => {
  test('a message that the peer would refuse is an error here', () => {
    const message: ControlMessage = { kind: 'commit', epoch: Number.NaN };
    expect(thrownBy(() => encodeControl(message))).toMatchObject({
      code: 'GW_INTERNAL',
      reason: expect.stringMatching(/^cannot send commit: epoch: /),
    });
  });

  test.each([Number.NaN, undefined, 1n, () => 1])('facts with %s cannot be sent', (value) => {
    const message = { kind: 'offer', ...withField('offer', 'vm.facts', { value }) } as unknown as ControlMessage;
    expect(thrownBy(() => encodeControl(message))?.code).toBe('GW_INTERNAL');
  });

  test('an offer larger than its frame cannot be sent', () => {
    const message = {
      kind: 'offer',
      ...withField('offer', 'vm.args', Array(40).fill('x'.repeat(32 * 1024))),
    } as unknown as ControlMessage;
    expect(thrownBy(() => encodeControl(message))?.reason).toMatch(/^a offer frame of \d+ bytes cannot be sent$/);
  });
});
