/**
 * The heldFilter frames: of which pages a destination holds the contents already, as a filter. Layout: docs/protocol.md.
 *
 * Owns: cutting a filter into frames and joining it again. What its bits mean is no business of this folder.
 * Must hold: its size is bounded before memory is taken for it, and no piece goes beyond it.
 */
import { encodeFrameHeader, invalidFrame } from './frame-types.ts';
import { FRAME_HEADER_BYTES, MAX_FILTER_BYTES, MAX_FILTER_PIECE } from './limits.ts';
import { readU32, writeU32 } from './little-endian.ts';

/** Under which key the fingerprints are: one that travels with the VM, or one that a fleet of hosts has. */
export const FINGERPRINT_SCOPES = ['vm', 'fleet'] as const;
export type FingerprintScope = (typeof FINGERPRINT_SCOPES)[number];

export interface HeldFilter {
  readonly scope: FingerprintScope;
  readonly filter: Uint8Array<SharedArrayBuffer>;
}

const FIXED_BYTES = 8;

/** Whole frames. @param filter - of 1 to MAX_FILTER_BYTES bytes */
export function* encodeHeldFilter(scope: FingerprintScope, filter: Uint8Array): Generator<Uint8Array, void> {
  for (let from = 0; from < filter.length; from += MAX_FILTER_PIECE) {
    const piece = filter.subarray(from, from + MAX_FILTER_PIECE);
    const payloadBytes = FIXED_BYTES + piece.length;
    const bytes = encodeFrameHeader('heldFilter', payloadBytes, payloadBytes);
    writeU32(bytes, FRAME_HEADER_BYTES, FINGERPRINT_SCOPES.indexOf(scope));
    writeU32(bytes, FRAME_HEADER_BYTES + 4, filter.length);
    bytes.set(piece, FRAME_HEADER_BYTES + FIXED_BYTES);
    yield bytes;
  }
}

export class HeldFilterCollector {
  #scope: FingerprintScope | undefined;
  #filter: Uint8Array<SharedArrayBuffer> | undefined;
  #filled = 0;

  /** Takes one piece; the whole filter when it was the last. @throws GW_WIRE_FRAME_INVALID */
  add(payload: Uint8Array): HeldFilter | undefined {
    const scope = FINGERPRINT_SCOPES[readU32(payload, 0)];
    const totalBytes = readU32(payload, 4);
    const piece = payload.subarray(FIXED_BYTES);
    if (scope === undefined) throw invalidFrame('heldFilter', 'its key is unknown');
    if (totalBytes > MAX_FILTER_BYTES) throw invalidFrame('heldFilter', `${totalBytes} bytes are too many`);
    if (this.#filled + piece.length > totalBytes) throw invalidFrame('heldFilter', 'it has more bytes than it says');
    this.#scope ??= scope;
    this.#filter ??= new Uint8Array(new SharedArrayBuffer(totalBytes));
    if (this.#filter.length !== totalBytes || this.#scope !== scope) {
      throw invalidFrame('heldFilter', 'its parts are not of one filter');
    }
    this.#filter.set(piece, this.#filled);
    this.#filled += piece.length;
    return this.#filled === totalBytes ? { scope, filter: this.#filter } : undefined;
  }
}
