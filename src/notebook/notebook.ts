/**
 * A Jupyter notebook as it lies on disk (nbformat 4, https://nbformat.readthedocs.io): its cells,
 * and what of them is no Python.
 */
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { LineState } from './python.ts';

export interface Cell {
  /** From 1, over cells of all kinds, as Jupyter counts from the top. */
  readonly number: number;
  readonly tags: readonly string[];
  /** Python only: magics are comments now. */
  readonly source: string;
}

/** A line that only IPython understands. */
export interface Magic {
  readonly cell: number;
  readonly text: string;
}

export interface Heading {
  /** The number of the cell that comes after it. */
  readonly before: number;
  readonly level: number;
  readonly text: string;
}

export interface Notebook {
  readonly cells: readonly Cell[];
  readonly headings: readonly Heading[];
  readonly magics: readonly Magic[];
  /** As the notebook says it, like 3.11; undefined where it does not. */
  readonly pythonVersion: string | undefined;
}

interface RawCell {
  readonly cell_type?: unknown;
  readonly source?: unknown;
  readonly metadata?: { readonly tags?: unknown };
}

interface RawNotebook {
  readonly nbformat?: unknown;
  readonly cells?: unknown;
  readonly metadata?: {
    readonly language_info?: { readonly name?: unknown; readonly version?: unknown };
    readonly kernelspec?: { readonly language?: unknown };
  };
}

/** Reads the text of a notebook; `what` names it. Throws `usage` for what is none, `unsupported` for other languages and formats. */
export function parseNotebook(text: string, what: string): Notebook {
  const raw = rawOf(text, what);
  if (typeof raw.nbformat === 'number' && raw.nbformat !== 4) {
    throw new PachError('unsupported', {
      what,
      why: `it has notebook format ${raw.nbformat}, and pach reads 4`,
      next: `jupyter nbconvert --to notebook --inplace ${shellWord(what)}`,
    });
  }
  if (raw.nbformat !== 4 || !Array.isArray(raw.cells)) {
    throw new PachError('usage', { what, why: 'it is no notebook', next: 'pach init --from analysis.ipynb' });
  }
  const { language_info: info, kernelspec } = raw.metadata ?? {};
  const language = info?.name ?? kernelspec?.language ?? 'python';
  if (language !== 'python') {
    throw new PachError('unsupported', {
      what,
      why: `it is written in ${JSON.stringify(language)}, and only Python can be converted`,
    });
  }
  const cells: Cell[] = [];
  const headings: Heading[] = [];
  const magics: Magic[] = [];
  for (const [index, cell] of (raw.cells as readonly RawCell[]).entries()) {
    const number = index + 1;
    const source = textOf(cell?.source);
    if (cell?.cell_type === 'markdown') headings.push(...headingsOf(source, number + 1));
    if (cell?.cell_type !== 'code') continue;
    const tags = Array.isArray(cell.metadata?.tags) ? cell.metadata.tags.filter((tag) => typeof tag === 'string') : [];
    const plain = withoutMagics(source);
    magics.push(...plain.magics.map((magic) => ({ cell: number, text: magic })));
    cells.push({ number, tags, source: plain.source });
  }
  const version = typeof info?.version === 'string' ? /^\d+\.\d+/.exec(info.version)?.[0] : undefined;
  return { cells, headings, magics, pythonVersion: version };
}

function rawOf(text: string, what: string): RawNotebook {
  try {
    const raw: unknown = JSON.parse(text);
    if (typeof raw === 'object' && raw !== null) return raw;
  } catch {
    // Said below.
  }
  throw new PachError('usage', { what, why: 'it is no notebook: not JSON', next: 'pach init --from analysis.ipynb' });
}

/** Jupyter keeps text whole or as lines. */
function textOf(source: unknown): string {
  const text = Array.isArray(source) ? source.filter((line) => typeof line === 'string').join('') : source;
  return typeof text === 'string' ? text.replaceAll('\r\n', '\n') : '';
}

function headingsOf(source: string, before: number): Heading[] {
  const found = [...source.matchAll(/^(#{1,6})[ \t]+(\S.*)$/gm)].map(([, marks = '', text = '']) => ({
    before,
    level: marks.length,
    text: withoutClosing(text.trimEnd()),
  }));
  return found.filter(({ text }) => text !== '');
}

/** A heading may be closed by as many # as anybody likes. Not by a pattern: it would try each of them as the first. */
function withoutClosing(text: string): string {
  let end = text.length;
  while (text[end - 1] === '#') end -= 1;
  return text.slice(0, end).trimEnd();
}

/** Cell magics that run the cell's own Python. */
const wrappers = /^%%(?:time|timeit|capture|prun)\b/;

/** Turns what only IPython understands into comments. */
function withoutMagics(source: string): { source: string; magics: string[] } {
  const lines = source.split('\n');
  const magics: string[] = [];
  const comment = (line: string): string => {
    magics.push(line.trim());
    const [, indent = ''] = /^(\s*)/.exec(line) ?? [];
    // A block may have nothing else in it.
    return indent === '' ? `# ${line}` : `${indent}pass  # ${line.trim()}`;
  };
  const first = lines.findIndex((line) => line.trim() !== '');
  if (lines[first]?.startsWith('%%') && !wrappers.test(lines[first])) {
    magics.push(lines[first].trim());
    return { source: lines.map((line) => `# ${line}`.trimEnd()).join('\n'), magics };
  }
  const state = new LineState();
  const out = lines.map((line) => {
    const isStart = state.isNeutral;
    if (isStart && isMagic(line)) return comment(line);
    state.take(line);
    return line;
  });
  return { source: out.join('\n'), magics };
}

function isMagic(line: string): boolean {
  return /^\s*[%!?]/.test(line) || /^\s*[\w.]+\?{1,2}\s*$/.test(line) || /^\s*[\w, ]+=\s*(?:!|%\w)/.test(line);
}
