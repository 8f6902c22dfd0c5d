/**
 * The imports of a source file, as they are written.
 *
 * Must hold: an import in whatever form (import, export … from, import for its effects, import()) is found, and only
 * those that vanish when the types are stripped count as `typeOnly`; what stands in comments and strings does not count.
 */
import { posix } from 'node:path';

export interface Import {
  /** A path from src/ (`base/page.ts`) for a relative import, else the package or `node:` module. */
  readonly target: string;
  readonly relative: boolean;
  readonly typeOnly: boolean;
}

const STATEMENT = /^(import|export)\s+(type\s+)?(?:[\w*{][^'";]*?\sfrom\s+)?'([^']+)';/gm;
const DYNAMIC = /\bimport\(\s*'([^']+)'\s*\)/g;
const COMMENT = /\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm;

/** @param path - of the file, from src/ */
export function readImports(path: string, text: string): Import[] {
  const code = text.replace(COMMENT, '');
  const written = [
    ...[...code.matchAll(STATEMENT)].map((match) => ({ specifier: match[3]!, typeOnly: match[2] !== undefined })),
    ...[...code.matchAll(DYNAMIC)].map((match) => ({ specifier: match[1]!, typeOnly: false })),
  ];
  return written.map(({ specifier, typeOnly }) => {
    const relative = specifier.startsWith('.');
    const target = relative ? posix.join(posix.dirname(path), specifier) : packageOf(specifier);
    return { target, relative, typeOnly };
  });
}

/** `undici/x` is a part of undici; node's own modules are told apart. */
function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier;
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
