/**
 * Documents that people write, in YAML or JSON (which is YAML): several in a file, each with the
 * lines of its fields.
 */
import { extname } from 'node:path';
import type { Document, LineCounter, Node, YAMLMap } from 'yaml';
import { PachError } from '../../base/errors.ts';
import type { LineOf, Path } from './fault.ts';
import { jsonFault } from './json.ts';

const fileBytesMax = 4 * 1024 * 1024;
/** The parser takes a minute for what is nested a million times, before it says so. */
const depthMax = 1000;
/** It takes up to a kilobyte for each value, whatever that is. */
const marksMax = 250_000;

export interface ReadDocument {
  readonly value: unknown;
  readonly lineOf: LineOf;
}

/**
 * The documents of a text; a list counts as its items. `file` names it in errors, and what it calls
 * JSON must be that. Throws `usage`.
 */
export async function parseDocuments(text: string, file: string): Promise<ReadDocument[]> {
  if (extname(file).toLowerCase() === '.json') checkJson(text, file);
  if (depthOf(text) > depthMax) throw wrong(file, 'it is nested too deep');
  if (hasMoreMarks(text)) throw wrong(file, `it has more than ${marksMax} lines, values and names`);
  // Takes 50 ms to load: those who read no documents do without.
  const { LineCounter, parseAllDocuments, visit } = await import('yaml');
  const lines = new LineCounter();
  // Its own look for keys that are there twice compares each with all others.
  const options = { lineCounter: lines, merge: true, logLevel: 'error', uniqueKeys: false } as const;
  const parsed = parseAllDocuments(text, options);
  const documents = 'empty' in parsed ? [] : parsed;
  return documents.flatMap((document) => {
    visit(document, { Map: (_, map) => checkKeys(map, lines, file) });
    const value = valueOf(document, file);
    if (value === null || value === undefined) return [];
    const lineOf = lineFinder(document, lines);
    if (!Array.isArray(value)) return [{ value, lineOf }];
    return value.map((item: unknown, index) => ({ value: item, lineOf: (path) => lineOf([index, ...path]) }));
  });
}

/** The text of a file or stream of at most 4 MiB of UTF-8. Throws `usage` when it is more, or something else. */
export async function readText(chunks: AsyncIterable<Uint8Array>, file: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > fileBytesMax) throw wrong(file, `it has more than ${fileBytesMax / 1024 / 1024} MiB`);
    parts.push(chunk);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    throw wrong(file, 'it is not text in UTF-8');
  }
}

/** Throws `usage` with line and column where one of the documents of a text is no JSON. */
function checkJson(text: string, file: string): void {
  let line = 0;
  // A text of JSON has no line break in it, so such a line is never part of one.
  for (const part of text.split(/^---[ \t]*$/m)) {
    const fault = /\S/.test(part) ? jsonFault(part) : undefined;
    const before = part.slice(0, fault?.at).split('\n');
    if (fault) throw wrong(`${file}:${line + before.length}:${(before.at(-1)?.length ?? 0) + 1}`, fault.why);
    line += before.length - 1;
  }
}

/** True for a text with more values than the parser should see: about, as what stands in strings counts too. */
function hasMoreMarks(text: string): boolean {
  let marks = 0;
  for (const _ of text.matchAll(/[\n\r[\]{},&*!?]|[-:][ \t]/g)) {
    marks += 1;
    if (marks > marksMax) return true;
  }
  return false;
}

/** How deep brackets are nested, or lists and keys on one line: about, as strings count too. */
function depthOf(text: string): number {
  let depth = 0;
  let most = 0;
  for (const [found] of text.matchAll(/[[\]{}]|(?:[-?:][ \t]+){2,}/g)) {
    if (found.length > 1) most = Math.max(most, found.length / 2);
    else depth = '[{'.includes(found) ? depth + 1 : Math.max(0, depth - 1);
    most = Math.max(most, depth);
  }
  return most;
}

/** Throws `usage` for a key that is there twice. */
function checkKeys({ items }: YAMLMap, lines: LineCounter, file: string): void {
  const seen = new Set<unknown>();
  for (const item of items) {
    if (!isPair(item) || !('value' in item.key)) continue;
    const { value } = item.key;
    if (seen.has(value) && value !== '<<') {
      const start = item.key.range?.[0];
      throw wrong(start === undefined ? file : `${file}:${lines.linePos(start).line}`, 'Map keys must be unique');
    }
    seen.add(value);
  }
}

function valueOf(document: Document.Parsed, file: string): unknown {
  const [error] = document.errors;
  if (error) {
    const line = error.linePos?.[0].line;
    throw wrong(line === undefined ? file : `${file}:${line}`, reasonOf(error));
  }
  try {
    return document.toJS();
  } catch (cause) {
    // Aliases to nothing, or to so much that it would fill the memory.
    throw wrong(file, reasonOf(cause));
  }
}

/** What the parser says, without the place, which is said before. */
function reasonOf(error: unknown): string {
  const [reason = ''] = error instanceof Error ? error.message.split(/ at line \d|\n/) : [];
  return reason.startsWith('Maximum call stack') ? 'it is nested too deep' : reason || 'it is not valid YAML';
}

function wrong(what: string, why: string): PachError {
  return new PachError('usage', { what, why });
}

function lineFinder(document: Document.Parsed, lines: LineCounter): LineOf {
  return (path: Path) => {
    // Of a field that is missing, the line of what it is missing in.
    for (let length = path.length; length >= 0; length--) {
      const start = startOf(document, path.slice(0, length));
      if (start !== undefined) return lines.linePos(start).line;
    }
    return undefined;
  };
}

/** Where a field's name begins, or an item of a list. */
function startOf(document: Document.Parsed, path: Path): number | undefined {
  const holder: unknown = document.getIn(path.slice(0, -1), true);
  const last = path.at(-1);
  if (typeof last === 'string' && isCollection(holder)) {
    const pair = holder.items.find((item) => isPair(item) && String(item.key) === last);
    if (isPair(pair)) return pair.key.range?.[0];
  }
  const node = document.getIn(path, true) as Node | undefined;
  return node?.range?.[0];
}

function isCollection(node: unknown): node is { readonly items: readonly unknown[] } {
  return typeof node === 'object' && node !== null && 'items' in node && Array.isArray(node.items);
}

function isPair(item: unknown): item is { readonly key: Node } {
  return (
    typeof item === 'object' && item !== null && 'key' in item && typeof item.key === 'object' && item.key !== null
  );
}
