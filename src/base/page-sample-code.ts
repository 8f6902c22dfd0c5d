/**
 * A sample of a VM's contents as text, from a host to a planner.
 *
 * Owns: the form: all keys (8 bytes each, float64), then all counts (2 bytes each), little-endian, in base64. Must hold:
 * what is decoded is a sample, whatever the text was: keys ascending and each once.
 */
import { KEY_LIMIT, type PageSample } from './page-sample.ts';

const KEY_BYTES = 8;
const COUNT_BYTES = 2;

export function encodePageSample({ keys, counts }: PageSample): string {
  const bytes = new Uint8Array(keys.length * (KEY_BYTES + COUNT_BYTES));
  const view = new DataView(bytes.buffer);
  for (const [i, key] of keys.entries()) view.setFloat64(i * KEY_BYTES, key, true);
  for (const [i, count] of counts.entries()) view.setUint16(keys.length * KEY_BYTES + i * COUNT_BYTES, count, true);
  return Buffer.from(bytes.buffer).toString('base64');
}

/** undefined: it is none. */
export function decodePageSample(text: string): PageSample | undefined {
  const bytes = Buffer.from(text, 'base64');
  const pages = bytes.length / (KEY_BYTES + COUNT_BYTES);
  if (!Number.isInteger(pages)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const keys = Float64Array.from({ length: pages }, (_, i) => view.getFloat64(i * KEY_BYTES, true));
  const counts = Uint16Array.from({ length: pages }, (_, i) =>
    view.getUint16(pages * KEY_BYTES + i * COUNT_BYTES, true),
  );
  const isSample = keys.every((key, i) => key >= 0 && key < KEY_LIMIT && (i === 0 || key > keys[i - 1]!));
  return isSample ? { keys, counts } : undefined;
}
