/**
 * Patterns of paths in Pachyderm's dialect: `*` and `?` (not `/`), `**` (any characters; as a
 * whole name also none), `[a-z]`, `[!x]`, `[^x]`, `[[:digit:]]`, `{a,b}`, `\` before a character
 * that is meant as it is, and groups `(a|b)`, `@(…)`, `?(…)`, `*(…)`, `+(…)`, `!(…)`, which are
 * captured. A pattern matches whole paths, from the root; one that ends in `/**` means files.
 */
import { PachError } from '../base/errors.ts';
import { parseGlob, type Part } from './glob-parse.ts';
import { compileParts, runProgram } from './glob-program.ts';
import { nameOfText } from './paths.ts';

export interface Glob {
  /** Names that all matches begin with: nothing else needs to be walked. */
  readonly prefix: readonly Buffer[];
  /** True when directories don't count as matches. */
  readonly filesOnly: boolean;
  /** Whether an absolute path, as text, matches. */
  matches(path: string): boolean;
  /** What the groups took, in the order of their opening brackets; undefined without a match. */
  captures(path: string): string[] | undefined;
  /** False when nothing below a directory can match. */
  couldMatchUnder(directory: string): boolean;
}

const slash = 0x2f;

/** Throws `usage` when it is no pattern. */
export function compileGlob(pattern: string): Glob {
  const parts = parseGlob(pattern.startsWith('/') ? pattern : `/${pattern}`);
  while (parts.length > 1 && isSlash(parts.at(-1))) parts.pop();
  const program = compileParts(parts);
  const last = parts.at(-1);
  // Names are never empty: only the pattern `/` means the root.
  const run = (path: string): number[] | undefined =>
    path === '/' && parts.length > 1 ? undefined : runProgram(program, path, 'whole');
  return {
    prefix: literalPrefix(pattern, parts),
    filesOnly: last?.kind === 'any' && isSlash(parts.at(-2)),
    matches: (path) => run(path) !== undefined,
    captures(path) {
      const found = run(path);
      if (!found) return undefined;
      return Array.from({ length: program.captures }, (_, index) => {
        const [from = -1, to = -1] = found.slice(index * 2, index * 2 + 2);
        return from < 0 || to < 0 ? '' : path.slice(from, to);
      });
    },
    couldMatchUnder: (directory) =>
      runProgram(program, directory === '/' ? directory : `${directory}/`, 'reach') !== undefined,
  };
}

function isSlash(part: Part | undefined): boolean {
  return part?.kind === 'literal' && part.code === slash;
}

/** The names at the start that are literal; checks all that is literal between two slashes. */
function literalPrefix(pattern: string, parts: readonly Part[]): Buffer[] {
  const segments = split(parts.slice(1));
  const names = segments.map((segment) =>
    segment.every((part) => part.kind === 'literal')
      ? String.fromCodePoint(...segment.map((part) => (part.kind === 'literal' ? part.code : 0)))
      : undefined,
  );
  if (names.length === 1 && names[0] === '') return [];
  for (const name of names) {
    if (name === '' || name === '.' || name === '..') {
      throw new PachError('usage', {
        what: `pattern ${JSON.stringify(pattern)}`,
        why: name === '' ? 'it has an empty name' : `${name} is not understood in patterns`,
        next: 'write patterns from the root of the repo, such as /a/*',
      });
    }
  }
  const open = names.indexOf(undefined);
  return names.slice(0, open < 0 ? names.length : open).map((name) => nameOfText(name ?? ''));
}

function split(parts: readonly Part[]): Part[][] {
  const segments: Part[][] = [[]];
  for (const part of parts) {
    if (isSlash(part)) segments.push([]);
    else segments.at(-1)?.push(part);
  }
  return segments;
}
