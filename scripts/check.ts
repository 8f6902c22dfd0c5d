/**
 * Applies source-rules.ts to every TypeScript file of the repository. Exit status 1 when one breaks a rule.
 */
import { globSync, readFileSync } from 'node:fs';
import { findOffences } from './source-rules.ts';

/** Fewer than this means that the search is broken, not that the tree is clean. */
const FEWEST_FILES = 50;

const paths = globSync(['{src,test,guest,bench,scripts}/**/*.ts', 'web/**/*.{ts,tsx}'], {
  exclude: ['web/dist/**'],
}).sort();
if (paths.length < FEWEST_FILES) throw new Error(`Found only ${paths.length} source files in ${process.cwd()}`);
const offences = paths.flatMap((path) => findOffences({ path, text: readFileSync(path, 'utf8') }));
for (const { path, line, problem } of offences) process.stderr.write(`${path}:${line}: ${problem}\n`);
process.stdout.write(`rules: ${paths.length} files, ${offences.length} offences\n`);
process.exitCode = offences.length === 0 ? 0 : 1;
