import fc from 'fast-check';
import { expect, test } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { asGodwitError } from '../base/errors.ts';
import { SharedBlockAddress } from './shared-block-address.ts';

/** The first bytes of what QEMU wrote, BARs placed by SeaBIOS: at 0xfe900000 and 0xfea00000, 0xfea00000 and 0xfe800000. */
const RECORDED = {
  'QEMU 7.2, pc': recorded([
    '5145564d00000003070000000d70632d6934343066782d372e32051a636f6e66696775726174696f6e2f6361706162696c697469657300000001',
    '000000010f782d69676e6f72652d73686172656401000000020372616d000000000000000400000000042820040472616d300000000004000000',
    '0000000000000000142f726f6d406574632f616370692f7461626c65730000000000020000000000000000000017303030303a30303a30322e30',
    '2f7368617265642d6f6e65000000000010000000000000fe90000017303030303a30303a30332e302f7368617265642d74776f00000000001000',
    '0000000000fea000000770632e62696f73000000000004000000000000fffc00000670632e726f6d000000000002000000000000000c0000152f',
    '726f6d406574632f7461626c652d6c6f6164657200000000000010000000000000000000122f726f6d406574632f616370692f72736470000000',
    '0000001000000000000000000000000000000000107e00000002',
  ]),
  'QEMU 10.0, q35, one of them behind a PCIe root port': recorded([
    '5145564d00000003070000000b70632d7133352d31302e30051a636f6e66696775726174696f6e2f6361706162696c6974696573000000010000',
    '00010f782d69676e6f72652d73686172656401000000010372616d000000000000000400000000042820040472616d3000000000040000000000',
    '000000000000142f726f6d406574632f616370692f7461626c65730000000000020000000000000000000017303030303a30303a30312e302f73',
    '68617265642d6f6e65000000000010000000000000fea000001c303030303a30303a30322e303a30302e302f7368617265642d74776f00000000',
    '0010000000000000fe8000000770632e62696f73000000000004000000000000fffc00000670632e726f6d000000000002000000000000000c00',
    '00152f726f6d406574632f7461626c652d6c6f6164657200000000000010000000000000000000122f726f6d406574632f616370692f72736470',
    '0000000000001000000000000000000000000000000000107e00000001',
  ]),
};
const BACKENDS = ['shared-one', 'shared-two'];
const REST = Buffer.from('everything else');

function recorded(parts: readonly string[]): Buffer {
  return Buffer.from(parts.join(''), 'hex');
}

/** The stream as it goes on when it comes in these parts. */
function passOn(parts: readonly Uint8Array[], backends: readonly string[] = BACKENDS): Buffer {
  const address = new SharedBlockAddress(backends);
  const out = parts.map((part) => Buffer.from(address.push(part)));
  address.end();
  return Buffer.concat(out);
}

/** The bytes with the number of 8 bytes behind `id` and its size set to 0. */
function cleared(stream: Buffer, ...ids: readonly string[]): Buffer {
  const copy = Buffer.from(stream);
  for (const id of ids) copy.fill(0, copy.indexOf(id) + id.length + 8, copy.indexOf(id) + id.length + 16);
  return copy;
}

function refusal(parts: readonly Uint8Array[], backends?: readonly string[]): string {
  try {
    passOn(parts, backends);
  } catch (error) {
    const { code, details } = asGodwitError(error);
    return `${code} ${details['reason']}`;
  }
  return 'nothing is wrong';
}

test.each(Object.entries(RECORDED))('%s: the addresses of shared blocks become 0, all else stays', (_, stream) => {
  const whole = Buffer.concat([stream, REST]);
  const expected = cleared(whole, '/shared-one', '/shared-two');
  expect(expected.equals(whole)).toBe(false);
  expect(passOn([whole]).equals(expected)).toBe(true);
  expect(passOn([whole], ['shared-two']).equals(cleared(whole, '/shared-two'))).toBe(true);
});

test.each(Object.entries(RECORDED))('%s: wherever it is cut in two', (_, stream) => {
  const whole = Buffer.concat([stream, REST]);
  const expected = cleared(whole, '/shared-one', '/shared-two').toString('hex');
  const results = Array.from({ length: whole.length + 1 }, (_cut, at) =>
    passOn([whole.subarray(0, at), whole.subarray(at)]).toString('hex'),
  );
  expect(new Set(results)).toEqual(new Set([expected]));
});

test('it does not matter in which parts the stream comes', () => {
  const [stream] = Object.values(RECORDED) as [Buffer];
  const whole = Buffer.concat([stream, REST]);
  const expected = cleared(whole, '/shared-one', '/shared-two').toString('hex');
  const cuts = fc.array(fc.integer({ min: 0, max: whole.length }), { maxLength: 40 });
  fc.assert(
    fc.property(cuts, (places) => {
      const sorted = [0, ...places.sort((a, b) => a - b), whole.length];
      const parts = sorted.slice(1).map((end, index) => whole.subarray(sorted[index]!, end));
      expect(passOn(parts).toString('hex')).toBe(expected);
    }),
  );
});

test('nothing goes on before the list is complete, and what follows it is handed on as it is', () => {
  const [stream] = Object.values(RECORDED) as [Buffer];
  const address = new SharedBlockAddress(BACKENDS);
  const listEnd = stream.length - 5;
  expect(address.push(stream.subarray(0, listEnd - 1))).toHaveLength(0);
  expect(address.push(stream.subarray(listEnd - 1, listEnd))).toHaveLength(listEnd);
  expect(address.push(REST)).toBe(REST);
});

test('a block that has no device path in its name is found, and none that only ends alike', () => {
  const stream = compose({ blocks: ['x-shared-one', 'shared-one', 'other/shared-two', 'shared-two/x'] });
  expect(passOn([stream]).equals(cleared(stream, '\nshared-one', 'other/shared-two'))).toBe(true);
});

test('every end before that of the list is an error', () => {
  const [stream] = Object.values(RECORDED) as [Buffer];
  const reasons = Array.from({ length: stream.length - 5 }, (_, bytes) => refusal([stream.subarray(0, bytes)]));
  expect(reasons.filter((reason, bytes) => !reason.endsWith(`: it ends after ${bytes} bytes`))).toEqual([]);
});

interface Composed {
  readonly magic?: number;
  readonly version?: number;
  readonly capabilities?: readonly string[];
  readonly part?: string;
  readonly kind?: number;
  readonly section?: string;
  readonly sectionVersion?: number;
  readonly blocks?: readonly string[];
  readonly sizeFlags?: number;
  readonly blockBytes?: number;
  /** After the address, as QEMU does it with mapped-ram. */
  readonly furtherField?: boolean;
}

function compose(given: Composed = {}): Buffer {
  const blocks = given.blocks ?? ['ram0', '0000:00:04.0/shared-one', '0000:00:05.0/shared-two'];
  return Buffer.concat([
    number(given.magic ?? 0x5145564d),
    number(given.version ?? 3),
    Buffer.of(0x07),
    number(6),
    Buffer.from('pc-7.2'),
    Buffer.of(0x05),
    name(given.part ?? 'configuration/capabilities'),
    number(1),
    number(1),
    name(given.capabilities?.[0] ?? 'x-ignore-shared'),
    Buffer.of(given.kind ?? 0x01),
    number(2),
    name(given.section ?? 'ram'),
    number(0),
    number(given.sectionVersion ?? 4),
    long(blocks.length * 4096 + (given.sizeFlags ?? 4)),
    ...blocks.flatMap((id) => [
      name(id),
      long(given.blockBytes ?? 4096),
      long(0xfe000000),
      given.furtherField === true ? long(4096) : Buffer.of(),
    ]),
    long(0x10),
  ]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function long(value: number): Buffer {
  return Buffer.concat([number(0), number(value)]);
}

function name(text: string): Buffer {
  return Buffer.concat([Buffer.of(text.length), Buffer.from(text)]);
}

test.each<[string, Composed, string]>([
  ['something else', { magic: 0x47455420 }, 'it begins with 47455420'],
  ['another version', { version: 4 }, 'its version is 4'],
  [
    'another part in the configuration',
    { part: 'configuration/uuid' },
    'its configuration has the part configuration/uuid',
  ],
  ['RAM that is not left out', { capabilities: ['mapped-ram'] }, 'shared memory is not left out of it'],
  ['a command before RAM', { kind: 8 }, 'it has a section of kind 8 before RAM'],
  ['a device before RAM', { section: 'slirp' }, 'it has the section slirp before RAM'],
  ['another version of RAM', { sectionVersion: 5 }, 'its RAM is of version 5'],
  ['no list', { sizeFlags: 0x10 }, 'its RAM does not begin with a list of blocks'],
  ['a block that is too large', { blockBytes: 65_536 }, 'its block ram0 is larger than what is left of RAM'],
  ['a further field', { furtherField: true }, 'is larger than what is left of RAM'],
  ['a list that goes on', { blockBytes: 8192 }, 'is larger than what is left of RAM'],
  ['no such block', { blocks: ['ram0', '1/shared-one'] }, 'no block of backend shared-two'],
  [
    'two such blocks',
    { blocks: ['1/shared-one', '2/shared-one', 'shared-two'] },
    '1/shared-one and 2/shared-one are both',
  ],
])('a stream with %s is refused', (_, given, reason) => {
  expect(refusal([compose(given)])).toContain(reason);
  expect(refusal([compose(given)])).toMatch(/^GW_QEMU_STATE the address of its shared memory cannot be cleared/);
});

test('a list that is not closed by its end mark is refused', () => {
  const stream = compose();
  stream[stream.length - 1] = 0x20;
  expect(refusal([stream])).toContain('its list of blocks has unknown fields');
});

largerTest('a head without end is refused instead of being kept', () => {
  const stream = compose();
  const head = stream.subarray(0, stream.indexOf('ram0') - 9);
  const block = Buffer.concat([name('b'.repeat(255)), long(4096), long(0)]);
  const parts = [head, Buffer.from('7ffffffffffff004', 'hex'), ...new Array<Buffer>(4000).fill(block)];
  expect(refusal(parts)).toContain('its head has more than 1048576 bytes');
  const long4GiB = Buffer.concat([stream.subarray(0, 9), Buffer.from('ffffffff', 'hex')]);
  expect(refusal([long4GiB])).toContain('its machine type has 4294967295 bytes');
});

test('bytes of any kind never come out as another error than GW_QEMU_STATE', () => {
  const damaged = fc.tuple(fc.integer({ min: 0, max: 370 }), fc.uint8Array({ minLength: 1, maxLength: 9 }));
  const [stream] = Object.values(RECORDED) as [Buffer];
  fc.assert(
    fc.property(damaged, ([at, bytes]) => {
      const changed = Buffer.from(stream);
      changed.set(bytes.subarray(0, changed.length - at), at);
      expect(refusal([changed])).toMatch(/^(GW_QEMU_STATE|nothing)/);
    }),
    { numRuns: 1000 },
  );
});

test('a VM without shared memory is not meant', () => {
  expect(() => new SharedBlockAddress([])).toThrow(RangeError);
});
