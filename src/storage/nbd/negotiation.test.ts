import fc from 'fast-check';
import { expect, test } from 'vitest';
import { triedFor } from '../../../test/support/further-cases.ts';
import { MAX_OPTION_BYTES } from './limits.ts';
import { Negotiation, type NegotiationStep } from './negotiation.ts';
import {
  NBD_OPT_ABORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_GO,
  NBD_OPT_INFO,
  NBD_OPT_LIST,
  NBD_OPT_LIST_META_CONTEXT,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STARTTLS,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_ERR_INVALID,
  NBD_REP_ERR_TLS_REQD,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_ERR_UNSUP,
  NBD_REP_INFO,
  NBD_REP_META_CONTEXT,
  NBD_REP_SERVER,
} from './numbers.ts';
import { encodeGreeting } from './option-replies.ts';

const FUZZ_MS = triedFor(1000);
const EXPORTS = new Map([['disk', { name: 'disk', bytes: 2 ** 33 + 512, isReadOnly: false, minBlockBytes: 1 }]]);
const FLAGS = hex('00000003');

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

function option(number: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(16);
  head.write('IHAVEOPT');
  head.writeUInt32BE(number, 8);
  head.writeUInt32BE(data.length, 12);
  return Buffer.concat([head, data]);
}

function string(text: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(Buffer.byteLength(text));
  return Buffer.concat([length, Buffer.from(text)]);
}

function info(name: string): Buffer {
  return Buffer.concat([string(name), hex('0000')]);
}

function contexts(name: string, ...queries: string[]): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(queries.length);
  return Buffer.concat([string(name), count, ...queries.map(string)]);
}

/** All steps until it needs more or is over. */
function steps(negotiation: Negotiation, ...pieces: Uint8Array[]): NegotiationStep[] {
  const found: NegotiationStep[] = [];
  for (const piece of pieces) {
    negotiation.push(piece);
    for (let step = negotiation.next(); step.kind !== 'needMore'; step = negotiation.next()) {
      found.push(step);
      if (step.kind !== 'answer') return found;
    }
  }
  return found;
}

function start(tls: 'none' | 'required' = 'none'): Negotiation {
  const negotiation = new Negotiation({ exports: EXPORTS, tls });
  expect(steps(negotiation, FLAGS)).toEqual([]);
  return negotiation;
}

/** Types of the option replies in an answer. */
function replyTypes(step: NegotiationStep | undefined): number[] {
  const bytes = step && 'bytes' in step ? step.bytes : Buffer.alloc(0);
  const types: number[] = [];
  for (let at = 0; at < bytes.length; at += 20 + bytes.readUInt32BE(at + 16)) {
    expect(bytes.toString('hex', at, at + 8)).toBe('0003e889045565a9');
    types.push(bytes.readUInt32BE(at + 12));
  }
  return types;
}

function typesOf(negotiation: Negotiation, ...pieces: Uint8Array[]): number[] {
  return replyTypes(steps(negotiation, ...pieces)[0]);
}

test('the greeting is that of fixed newstyle without zeroes', () => {
  expect(encodeGreeting()).toEqual(Buffer.from('NBDMAGICIHAVEOPT\0\u0003', 'latin1'));
});

test('GO tells size, flags and block sizes, and begins the transmission', () => {
  const [step] = steps(start(), option(NBD_OPT_GO, info('disk')));
  expect(step).toMatchObject({
    kind: 'transmission',
    agreement: { exportName: 'disk', hasStructuredReplies: false, hasAllocation: false },
  });
  expect((step as { bytes: Buffer }).bytes).toEqual(
    Buffer.concat([
      hex('0003e889045565a9 00000007 00000003 0000000c 0000 0000000200000200 09ed'),
      hex('0003e889045565a9 00000007 00000003 0000000e 0003 00000001 00001000 02000000'),
      hex('0003e889045565a9 00000007 00000001 00000000'),
    ]),
  );
});

test('what came behind GO is left for the transmission', () => {
  const negotiation = start();
  steps(negotiation, Buffer.concat([option(NBD_OPT_GO, info('disk')), hex('25609513')]));
  expect(negotiation.rest).toEqual(hex('25609513'));
});

test('a client that comes byte by byte is understood', () => {
  const stream = Buffer.concat([option(NBD_OPT_STRUCTURED_REPLY), option(NBD_OPT_GO, info('disk'))]);
  const found = steps(start(), ...[...stream].map((byte) => Uint8Array.of(byte)));
  expect(found.map(({ kind }) => kind)).toEqual(['answer', 'transmission']);
});

test.each([
  [true, 'ffff'],
  [false, '0000'],
])('EXPORT_NAME with NO_ZEROES %s', (isWithout) => {
  const negotiation = new Negotiation({ exports: EXPORTS, tls: 'none' });
  const [step] = steps(negotiation, hex(isWithout ? '00000003' : '00000001'), option(1, Buffer.from('disk')));
  expect(step!.kind).toBe('transmission');
  expect((step as { bytes: Buffer }).bytes).toHaveLength(isWithout ? 10 : 134);
});

test.each([
  ['LIST', option(NBD_OPT_LIST), [NBD_REP_SERVER, NBD_REP_ACK]],
  ['INFO', option(NBD_OPT_INFO, info('disk')), [NBD_REP_INFO, NBD_REP_INFO, NBD_REP_ACK]],
  ['INFO of no export', option(NBD_OPT_INFO, info('other')), [NBD_REP_ERR_UNKNOWN]],
  ['GO to no export', option(NBD_OPT_GO, info('')), [NBD_REP_ERR_UNKNOWN]],
  ['ABORT', option(NBD_OPT_ABORT), [NBD_REP_ACK]],
  ['STRUCTURED_REPLY', option(NBD_OPT_STRUCTURED_REPLY), [NBD_REP_ACK]],
  ['STRUCTURED_REPLY with data', option(NBD_OPT_STRUCTURED_REPLY, hex('00')), [NBD_REP_ERR_INVALID]],
  ['STARTTLS without a certificate', option(NBD_OPT_STARTTLS), [NBD_REP_ERR_UNSUP]],
  ['an option that nobody knows', option(99, hex('0011')), [NBD_REP_ERR_UNSUP]],
  ['contexts without structured replies', option(10, contexts('disk', 'base:allocation')), [NBD_REP_ERR_INVALID]],
  ['a name longer than its option', option(NBD_OPT_GO, hex('000000ff 6100 0000')), [NBD_REP_ERR_INVALID]],
  ['a name over the limit', option(NBD_OPT_GO, string('a'.repeat(4097))), [NBD_REP_ERR_INVALID]],
  [
    'more requests than there is room',
    option(NBD_OPT_GO, Buffer.concat([string('disk'), hex('0005')])),
    [NBD_REP_ERR_INVALID],
  ],
])('%s', (_name, bytes, types) => {
  expect(typesOf(start(), bytes)).toEqual(types);
});

test.each([
  ['set', NBD_OPT_SET_META_CONTEXT, ['base:allocation'], 'disk', [NBD_REP_META_CONTEXT, NBD_REP_ACK]],
  ['set to nothing that there is', NBD_OPT_SET_META_CONTEXT, ['qemu:dirty-bitmap:x'], 'disk', [NBD_REP_ACK]],
  ['set with a wildcard', NBD_OPT_SET_META_CONTEXT, ['base:'], 'disk', [NBD_REP_ACK]],
  ['listed', NBD_OPT_LIST_META_CONTEXT, [], 'disk', [NBD_REP_META_CONTEXT, NBD_REP_ACK]],
  ['listed with a wildcard', NBD_OPT_LIST_META_CONTEXT, ['base:'], 'disk', [NBD_REP_META_CONTEXT, NBD_REP_ACK]],
  ['of no export', NBD_OPT_SET_META_CONTEXT, ['base:allocation'], 'other', [NBD_REP_ERR_UNKNOWN]],
] as const)('metadata contexts: %s', (_name, number, queries, name, types) => {
  const negotiation = start();
  typesOf(negotiation, option(NBD_OPT_STRUCTURED_REPLY));
  expect(typesOf(negotiation, option(number, contexts(name, ...queries)))).toEqual(types);
});

test('a context counts for the export that it was set for', () => {
  const negotiation = start();
  const set = option(NBD_OPT_SET_META_CONTEXT, contexts('disk', 'base:allocation'));
  const found = steps(negotiation, option(NBD_OPT_STRUCTURED_REPLY), set, option(NBD_OPT_GO, info('disk')));
  expect(found.at(-1)).toMatchObject({ agreement: { hasStructuredReplies: true, hasAllocation: true } });
});

test('with TLS required nothing is told before it, and what was agreed before does not count', () => {
  const negotiation = start('required');
  expect(typesOf(negotiation, option(NBD_OPT_LIST))).toEqual([NBD_REP_ERR_TLS_REQD]);
  expect(typesOf(negotiation, option(NBD_OPT_GO, info('disk')))).toEqual([NBD_REP_ERR_TLS_REQD]);
  expect(steps(negotiation, option(NBD_OPT_STARTTLS))[0]!.kind).toBe('startTls');
  negotiation.tlsStarted();
  expect(typesOf(negotiation, option(NBD_OPT_STARTTLS))).toEqual([NBD_REP_ERR_INVALID]);
  expect(steps(negotiation, option(NBD_OPT_GO, info('disk')))[0]).toMatchObject({
    kind: 'transmission',
    agreement: { hasStructuredReplies: false },
  });
});

test('what comes in plain text behind STARTTLS is not taken for what comes under TLS', () => {
  const injected = Buffer.concat([option(NBD_OPT_STARTTLS), option(NBD_OPT_LIST)]);
  expect(steps(start('required'), injected)[0]).toMatchObject({ kind: 'violation' });
});

test.each([
  ['an HTTP client', Buffer.from('GET / HTTP/1.1'), /no NBD client: it began with 4745/],
  ['its first byte alone', Buffer.from('G'), /no NBD client/],
  ['unknown flags', hex('00000007'), /no NBD client/],
  ['the old newstyle', hex('00000000'), /fixed newstyle/],
  ['no IHAVEOPT', Buffer.concat([FLAGS, hex('4942')]), /without IHAVEOPT/],
  ['an option over the limit', Buffer.concat([FLAGS, oversized()]), /65537 bytes, more than the 65536 allowed/],
  ['EXPORT_NAME of no export', Buffer.concat([FLAGS, option(NBD_OPT_EXPORT_NAME, Buffer.from('x'))]), /no export "x"/],
])('%s is cut off', (_name, bytes, reason) => {
  const [step] = steps(new Negotiation({ exports: EXPORTS, tls: 'none' }), bytes);
  expect(step).toMatchObject({ kind: 'violation', reason: expect.stringMatching(reason) });
});

function oversized(): Buffer {
  const head = option(NBD_OPT_GO);
  head.writeUInt32BE(MAX_OPTION_BYTES + 1, 12);
  return head;
}

test('whatever comes, in whatever pieces, is a step', () => {
  const valid = fc.constantFrom(
    option(NBD_OPT_LIST),
    option(NBD_OPT_STRUCTURED_REPLY),
    option(NBD_OPT_INFO, info('disk')),
    option(NBD_OPT_SET_META_CONTEXT, contexts('disk', 'base:allocation', 'x')),
  );
  const garbled = fc
    .tuple(fc.integer({ min: 0, max: 12 }), fc.uint8Array({ maxLength: 80 }))
    .map(([number, data]) => option(number, data));
  const piece = fc.oneof(valid, garbled, fc.uint8Array({ maxLength: 40 }));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), fc.array(fc.nat(300), { maxLength: 8 }), (pieces, cuts) => {
      const stream = Buffer.concat([FLAGS, ...pieces]);
      const at = [0, ...cuts.map((cut) => Math.min(cut, stream.length)).sort((a, b) => a - b), stream.length];
      const cut = at.slice(1).map((end, index) => stream.subarray(at[index], end));
      const whole = steps(new Negotiation({ exports: EXPORTS, tls: 'none' }), stream);
      const pieced = steps(new Negotiation({ exports: EXPORTS, tls: 'none' }), ...cut);
      const isTls = (step: NegotiationStep): boolean => step.kind === 'violation';
      // What is wrong can be seen earlier in pieces; what was answered before is the same.
      expect(pieced.filter((step) => !isTls(step))).toEqual(whole.filter((step) => !isTls(step)));
    }),
    { numRuns: 1_000_000, interruptAfterTimeLimit: FUZZ_MS },
  );
});
