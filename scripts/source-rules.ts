/**
 * Rules of style.md that neither the compiler nor the linter knows.
 *
 * Owns: the rules, as pure functions of a file's path and text; check.ts applies them to the tree.
 */

export interface SourceFile {
  /** From the repository's root. */
  readonly path: string;
  readonly text: string;
}

export interface Offence {
  readonly path: string;
  readonly line: number;
  readonly problem: string;
}

/** More than one noun lives in a longer file. */
export const MAX_LINES = 250;
/** How far above a raw call its SAFETY comment may begin: a statement or two, and the comment's own lines. */
const SAFETY_REACH_LINES = 12;
const FORBIDDEN_NAMES = new Set(['utils', 'util', 'helpers', 'helper', 'common', 'misc', 'types']);

export function findOffences(file: SourceFile): Offence[] {
  return [checkName, checkLength, checkHeader, checkSafety].flatMap((rule) => rule(file));
}

function checkName({ path }: SourceFile): Offence[] {
  const words = path.split('/').map((part) => part.split('.')[0]!);
  return words
    .filter((word) => FORBIDDEN_NAMES.has(word))
    .map((word) => ({ path, line: 1, problem: `"${word}" says nothing; name the noun that is in it` }));
}

function checkLength({ path, text }: SourceFile): Offence[] {
  const lines = text.split('\n').length - 1;
  if (lines <= MAX_LINES || isTest(path)) return [];
  return [{ path, line: lines, problem: `${lines} lines, more than ${MAX_LINES}: does it hold one noun?` }];
}

function checkHeader({ path, text }: SourceFile): Offence[] {
  if (isTest(path) || text.startsWith('/**')) return [];
  return [{ path, line: 1, problem: 'begins without a header: what it owns, what must hold, what it must never do' }];
}

/** A comment above says which memory the kernel reads or writes and who may block. */
function checkSafety({ path, text }: SourceFile): Offence[] {
  if (!path.startsWith('src/linux/') || path === 'src/linux/raw.ts' || isTest(path)) return [];
  const lines = text.split('\n');
  return lines.flatMap((line, index) => {
    if (!/(?<![\w.])raw\.\w+\(/.test(line) || /^\s*(\/\/|\*)/.test(line)) return [];
    if (hasSafetyAbove(lines, index)) return [];
    return [{ path, line: index + 1, problem: 'a raw call without a // SAFETY: comment above it' }];
  });
}

function hasSafetyAbove(lines: readonly string[], call: number): boolean {
  for (let at = call - 1; at >= Math.max(0, call - SAFETY_REACH_LINES); at--) {
    const line = lines[at]!.trim();
    if (line.startsWith('// SAFETY:')) return true;
    // The comment belongs to the lines right below it: a gap, or the end of a block, ends its reach.
    if (line === '' || line === '}') return false;
  }
  return false;
}

function isTest(path: string): boolean {
  return /\.test\.tsx?$/.test(path) || path.startsWith('test/');
}
