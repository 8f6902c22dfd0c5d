/** Where the module of a worker thread is, by its path from this folder. */
import { programFile } from '../base/program-file.ts';

export function workerModule(name: string): URL {
  return programFile(`migration/${name}`);
}
