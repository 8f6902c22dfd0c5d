/**
 * The binary frames once more, in the most obvious way: DataView and BigInt, one field after the other.
 *
 * Owns: the second opinion that the codec of src/wire is compared with. Written from docs/protocol.md alone; it must
 * share no code with src/wire.
 */
import type { PageRun } from '../../src/base/page.ts';

/** One field: its width in bytes (1, 4, 8) and value, or raw bytes. */
export type Field = readonly [1 | 4 | 8, number] | Uint8Array;

export function naiveBytes(fields: readonly Field[]): Uint8Array {
  const parts = fields.map((field) => (field instanceof Uint8Array ? field : naiveInteger(field[0], field[1])));
  return new Uint8Array(Buffer.concat(parts));
}

export function naiveFrame(type: number, payload: Uint8Array): Uint8Array {
  return naiveBytes([[4, payload.length], [1, type], [1, 0], [1, 0], [1, 0], payload]);
}

/** The payload of pages, or with digests of digestedPages. */
export function naivePages(runs: readonly PageRun[], data: Uint8Array, digests = new Uint8Array()): Uint8Array {
  return naiveBytes([[4, runs.length], ...naiveRuns(runs), digests, data]);
}

export function naiveZeroPages(runs: readonly PageRun[]): Uint8Array {
  return naiveBytes([[4, runs.length], ...naiveRuns(runs)]);
}

/** The payload of one part of missingRuns or stillMissing. */
export function naiveRunListPart(runs: readonly PageRun[], last: boolean): Uint8Array {
  return naiveBytes([[4, runs.length], [1, last ? 1 : 0], [1, 0], [1, 0], [1, 0], ...naiveRuns(runs)]);
}

export function naivePageRequest(sequence: number, run: PageRun): Uint8Array {
  return naiveBytes([[4, sequence], ...naiveRuns([run])]);
}

/** @param kind - 0 data, 1 zero, 2 sent */
export function naivePageReply(
  sequence: number,
  runs: readonly (readonly [run: PageRun, kind: number])[],
  data: Uint8Array,
  digests?: Uint8Array,
): Uint8Array {
  const entries = runs.flatMap(([run, kind]): Field[] => [...naiveRuns([run]), [4, kind]]);
  return naiveBytes([
    [4, sequence],
    [4, digests === undefined ? 0 : 1],
    [4, runs.length],
    ...entries,
    digests ?? new Uint8Array(),
    data,
  ]);
}

/** @param kind - 0 data, 1 delta, 2 held, 3 elsewhere */
export function naivePackedPages(
  codec: number,
  runs: readonly (readonly [run: PageRun, kind: number])[],
  bodyBytes: number,
  packed: Uint8Array,
  digests?: Uint8Array,
): Uint8Array {
  const entries = runs.flatMap(([run, kind]): Field[] => [...naiveRuns([run]), [4, kind]]);
  return naiveBytes([
    [4, codec],
    [4, digests === undefined ? 0 : 1],
    [4, runs.length],
    [4, bodyBytes],
    ...entries,
    digests ?? new Uint8Array(),
    packed,
  ]);
}

/** Frames of a whole byte stream, without preface, that is known to be valid. */
export function naiveSplit(stream: Uint8Array): { type: number; payload: Uint8Array }[] {
  const frames: { type: number; payload: Uint8Array }[] = [];
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  for (let at = 0; at < stream.length; ) {
    const length = view.getUint32(at, true);
    frames.push({ type: view.getUint8(at + 4), payload: stream.slice(at + 8, at + 8 + length) });
    at += 8 + length;
  }
  return frames;
}

function naiveRuns(runs: readonly PageRun[]): Field[] {
  return runs.flatMap((run): Field[] => [
    [8, run.first],
    [4, run.count],
  ]);
}

function naiveInteger(width: 1 | 4 | 8, value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(width));
  if (width === 1) view.setUint8(0, value);
  else if (width === 4) view.setUint32(0, value, true);
  else view.setBigUint64(0, BigInt(value), true);
  return new Uint8Array(view.buffer);
}
