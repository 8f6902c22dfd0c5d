/** Version and feature negotiation, both sides. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CONTROL_NAMES, MESSAGE_SAMPLES } from '../../test/support/wire-samples.ts';
import { FrameType } from './frame-types.ts';
import { hello, type LocalPeer, localPeer, stepDialer, stepListener } from './handshake.ts';
import { decodeControl, encodeControl } from './message-codec.ts';

const peer = (minVersion: number, maxVersion: number, features: string[] = []): LocalPeer => ({
  host: `host${minVersion}${maxVersion}`,
  software: 'test',
  features,
  minVersion,
  maxVersion,
});

/** The whole handshake between two hosts. */
function shake(dialer: LocalPeer, listener: LocalPeer) {
  const listened = stepListener(listener, hello(dialer), 1000.5);
  return { listened, dialed: stepDialer(dialer, listened.send) };
}

test('two hosts of this build agree on version 1 and the features of both', () => {
  const { listened, dialed } = shake(
    localPeer('a', 'x', ['verify', 'post-copy']),
    localPeer('b', 'y', ['post-copy', 'tls']),
  );
  expect(listened).toMatchObject({ kind: 'agreed', agreement: { version: 1, features: ['post-copy'], host: 'a' } });
  expect(dialed).toEqual({
    kind: 'agreed',
    agreement: { version: 1, features: ['post-copy'], host: 'b' },
    peerWallMs: 1000.5,
  });
});

test.each([
  [1, 1, 1, 2, 1],
  [1, 2, 1, 1, 1],
  [1, 2, 2, 3, 2],
  [2, 3, 1, 2, 2],
  [1, 3, 1, 3, 3],
])('versions %i–%i and %i–%i agree on %i', (minA, maxA, minB, maxB, version) => {
  expect(shake(peer(minA, maxA), peer(minB, maxB)).dialed).toMatchObject({ kind: 'agreed', agreement: { version } });
});

test.each([
  [1, 1, 2, 3],
  [3, 4, 1, 2],
])('versions %i–%i and %i–%i are refused, and both know why', (minA, maxA, minB, maxB) => {
  const { listened, dialed } = shake(peer(minA, maxA), peer(minB, maxB));
  const text = `The peer speaks protocol versions ${minA} to ${maxA}, this host ${minB} to ${maxB}`;
  expect(listened).toMatchObject({ kind: 'refused', error: { code: 'GW_WIRE_VERSION', message: text } });
  expect(dialed).toMatchObject({ kind: 'failed', error: { code: 'GW_WIRE_VERSION', message: text } });
});

test('both sides always come to the same result, and it is within what both said', () => {
  const any = fc
    .record({ low: fc.integer({ min: 1, max: 6 }), span: fc.nat(3), features: fc.subarray(['a', 'b', 'c', 'd']) })
    .map(({ low, span, features }) => peer(low, low + span, features));
  fc.assert(
    fc.property(any, any, (a, b) => {
      const { listened, dialed } = shake(a, b);
      expect(dialed.kind === 'agreed').toBe(listened.kind === 'agreed');
      const agreement = dialed.kind === 'agreed' ? dialed.agreement : undefined;
      const best = Math.min(a.maxVersion, b.maxVersion);
      expect(agreement?.version).toBe(best >= Math.max(a.minVersion, b.minVersion) ? best : undefined);
      expect(agreement?.features.every((f) => a.features.includes(f) && b.features.includes(f)) ?? true).toBe(true);
    }),
  );
});

test('the messages of the handshake pass the codec', () => {
  const { listened } = shake(peer(1, 1, ['a']), peer(2, 2));
  const frames = [hello(peer(1, 1, ['a'])), listened.send].map((message) => encodeControl(message).subarray(8));
  expect(decodeControl(FrameType.hello, frames[0]!)).toEqual(hello(peer(1, 1, ['a'])));
  expect(decodeControl(FrameType.refused, frames[1]!)).toEqual(listened.send);
});

describe('a peer that lies', () => {
  test.each([0, 4])('the dialer refuses version %i, which it did not offer', (version) => {
    const welcome = { ...MESSAGE_SAMPLES.welcome, version, features: [] };
    expect(stepDialer(peer(1, 3), welcome)).toMatchObject({ kind: 'failed', error: { code: 'GW_WIRE_VERSION' } });
  });

  test('the dialer refuses a feature that it did not offer', () => {
    const welcome = { ...MESSAGE_SAMPLES.welcome, features: ['a', 'spy'] };
    expect(stepDialer(peer(1, 1, ['a']), welcome)).toMatchObject({
      kind: 'failed',
      error: { code: 'GW_WIRE_FRAME_INVALID', details: { reason: 'it has the feature spy, which nobody offered' } },
    });
  });

  test('a refusal keeps the code of the other side', () => {
    expect(stepDialer(peer(1, 1), MESSAGE_SAMPLES.refused)).toMatchObject({
      kind: 'failed',
      error: { code: 'GW_SYS_NO_ROOM', message: 'Not enough memory' },
    });
  });

  test.each(
    CONTROL_NAMES.filter((name) => name !== 'welcome' && name !== 'refused'),
  )('the dialer refuses %s', (name) => {
    expect(stepDialer(peer(1, 1), MESSAGE_SAMPLES[name])).toMatchObject({
      kind: 'failed',
      error: { code: 'GW_WIRE_FRAME_INVALID' },
    });
  });

  test.each(CONTROL_NAMES.filter((name) => name !== 'hello'))('the listener refuses %s', (name) => {
    expect(stepListener(peer(1, 1), MESSAGE_SAMPLES[name], 0)).toMatchObject({
      kind: 'refused',
      error: { code: 'GW_WIRE_FRAME_INVALID' },
      send: { kind: 'refused', error: { code: 'GW_WIRE_FRAME_INVALID' } },
    });
  });
});
