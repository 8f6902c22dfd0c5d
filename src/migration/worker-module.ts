/** Where the module of a worker thread is: beside this file, in source and built form alike. */

export function workerModule(name: string): URL {
  const ending = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new URL(`./${name}.${ending}`, import.meta.url);
}
