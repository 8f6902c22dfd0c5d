/**
 * Where godwit's own modules are that threads and processes begin with.
 *
 * Must hold: the same in the sources and in what is built from them, where this module is in some file one directory below dist/.
 */

/** @param path - from src/ or dist/, without the ending: `migration/source-worker` */
export function programFile(path: string): URL {
  const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new URL(`../${path}.${ending}`, import.meta.url);
}
