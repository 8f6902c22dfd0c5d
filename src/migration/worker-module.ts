/** Where the module of a worker thread is, by its path from this folder; in source and built form alike. */

export function workerModule(name: string): URL {
  const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new URL(`./${name}.${ending}`, import.meta.url);
}
