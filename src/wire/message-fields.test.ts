/** Errors in the form that the peer accepts, whatever they hold. */
import { expect, test } from 'vitest';
import { GodwitError, type JsonValue } from '../base/errors.ts';
import { FrameType } from './frame-types.ts';
import { MAX_TEXT_LENGTH } from './limits.ts';
import { decodeControl, encodeControl } from './message-codec.ts';
import { toWireError } from './message-fields.ts';

test('an error crosses with its code, message and details', () => {
  const error = new GodwitError('GW_QEMU_START', { reason: 'no such machine' });
  const frame = encodeControl({ kind: 'failed', owned: false, error: toWireError(error) });
  expect(decodeControl(FrameType.failed, frame.subarray(8))).toEqual({
    kind: 'failed',
    owned: false,
    error: {
      code: 'GW_QEMU_START',
      message: 'QEMU did not start: no such machine',
      details: { reason: 'no such machine' },
    },
  });
});

test('the causes go along in the message', () => {
  const error = new GodwitError('GW_INTERNAL', { reason: 'x' }, { cause: new Error('ENOSPC') });
  expect(toWireError(error).message).toBe('Internal error: x: ENOSPC');
});

test('any thrown value becomes an error', () => {
  expect(toWireError('boom')).toEqual({
    code: 'GW_INTERNAL',
    message: 'Internal error: boom',
    details: { reason: 'boom' },
  });
});

const cyclic: Record<string, JsonValue> = {};
Object.assign(cyclic, { self: cyclic });

test.each<[string, Record<string, JsonValue>]>([
  ['control characters', { reason: 'a\u001b[2Jb\r\n' }],
  ['a long text', { reason: 'x'.repeat(100_000) }],
  ['details that are too large', { reason: 'x', list: Array(5000).fill(1) }],
  ['details that are too long', { reason: 'x', log: 'y'.repeat(9000) }],
  ['details that JSON cannot carry', { reason: 'x', rate: Number.NaN }],
  ['details that contain themselves', { reason: 'x', cyclic }],
])('an error with %s can be sent all the same', (_, details) => {
  const frame = encodeControl({
    kind: 'failed',
    owned: false,
    error: toWireError(new GodwitError('GW_QEMU_START', details)),
  });
  expect(decodeControl(FrameType.failed, frame.subarray(8))).toMatchObject({ error: { code: 'GW_QEMU_START' } });
});

test('control characters become spaces, line breaks stay, long texts are cut', () => {
  const messageOf = (reason: string) => toWireError(new GodwitError('GW_USAGE', { reason })).message;
  expect(messageOf('a\u001bb\nc')).toBe('a b\nc');
  expect(messageOf('x'.repeat(MAX_TEXT_LENGTH))).toHaveLength(MAX_TEXT_LENGTH);
  expect(messageOf('x'.repeat(MAX_TEXT_LENGTH + 1))).toBe(`${'x'.repeat(MAX_TEXT_LENGTH - 1)}…`);
});
