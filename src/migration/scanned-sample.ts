/**
 * Samples of what was found in a VM's memory when it was looked through last, beside the index of it (live-contents.ts).
 *
 * Owns: the file's form: JSON with a sample for each grain as text (base/page-sample-code.ts). Must hold: whoever asks for a
 * sample reads this file only, which is a hundredth of the index, and so may do it on the daemon's main thread.
 */
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { createPageSample, type PageSample, sampleKey } from '../base/page-sample.ts';
import { encodePageSample } from '../base/page-sample-code.ts';
import type { BlockGrain } from '../memory/block-sample.ts';
import type { ContentIndex } from '../memory/content-index.ts';

/** As text, by bytes of a block. */
export type ScannedSamples = Readonly<Record<4096 | BlockGrain, string>>;

const FINGERPRINT_BYTES = 16;

export function writeSamples(
  path: string,
  { fingerprints, pages }: ContentIndex,
  blocks: Readonly<Record<BlockGrain, PageSample>>,
): void {
  const keys: number[] = [];
  for (let page = 0; page < pages; page++) {
    const key = sampleKey(fingerprints.subarray(page * FINGERPRINT_BYTES, (page + 1) * FINGERPRINT_BYTES));
    if (key !== null) keys.push(key);
  }
  const samples: ScannedSamples = {
    4096: encodePageSample(createPageSample(keys)),
    1024: encodePageSample(blocks[1024]),
    64: encodePageSample(blocks[64]),
  };
  const temporary = `${path}.new`;
  writeFileSync(temporary, JSON.stringify(samples), { mode: 0o600 });
  renameSync(temporary, path);
}

/**
 * @param knownAtMs - of what the caller knows already
 * @returns undefined when there are none, or none that are newer
 */
export function readSamples(
  path: string,
  knownAtMs?: number,
): { readonly samples: ScannedSamples; readonly scannedAtMs: number } | undefined {
  try {
    const scannedAtMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
    if (scannedAtMs === undefined || scannedAtMs === knownAtMs) return undefined;
    return { samples: JSON.parse(readFileSync(path, 'utf8')) as ScannedSamples, scannedAtMs };
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
