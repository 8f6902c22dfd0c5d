/**
 * What is kept, as the body of a message of NATS.
 *
 * Owns the form: JSON, packed by gzip where it is large. Must hold: an evacuation of thousands of VMs stays below the megabyte that a
 * server takes by default; a message that it refuses would be sent again for ever.
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import { explain, GodwitError, type JsonValue } from '../base/errors.ts';

/** Small ones stay legible to whoever looks with the tools of NATS. */
const PLAIN_BYTES = 64 * 1024;
/** Each step of an evacuation is written: the cheapest will do. */
const LEVEL = 1;
/** Unpacked: whoever may write there could have a megabyte become a gigabyte. */
const MOST_BYTES = 64 * 1024 * 1024;

export function encodeValue(value: JsonValue): Uint8Array {
  const plain = Buffer.from(JSON.stringify(value));
  return plain.length <= PLAIN_BYTES ? plain : gzipSync(plain, { level: LEVEL });
}

/** @throws GW_STORE_UNAVAILABLE where it is none of ours */
export function decodeValue(bytes: Uint8Array): JsonValue {
  const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
  try {
    const plain = isPacked ? gunzipSync(bytes, { maxOutputLength: MOST_BYTES }) : Buffer.from(bytes);
    return JSON.parse(plain.toString()) as JsonValue;
  } catch (cause) {
    const reason = `it holds what no controller has written (${explain(cause)}): remove that, or give another --nats-prefix`;
    throw new GodwitError('GW_STORE_UNAVAILABLE', { store: 'NATS', reason }, { cause });
  }
}
