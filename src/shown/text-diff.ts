/**
 * Lines that differ between two contents, as `diff -u` has them.
 */
import { isUtf8 } from 'node:buffer';
import { structuredPatch } from 'diff';
import { entrySize, type TreeEntry } from '../model/tree.ts';
import type { FileBytes } from '../versions/reading/files.ts';

export interface Hunk {
  /** Lines count from 1. */
  readonly oldStart: number;
  readonly oldLines: number;
  readonly newStart: number;
  readonly newLines: number;
  /** Each begins with `+`, `-`, a blank, or a backslash before a remark on the line before. */
  readonly lines: readonly string[];
}

export interface TextDiff {
  readonly kind: 'text';
  readonly added: number;
  readonly removed: number;
  readonly hunks: readonly Hunk[];
}

/** Content that is not shown, and why. */
export interface NotShown {
  readonly kind: 'none';
  readonly why: string;
}

/** Of each of two versions. */
const textBytesMax = 16 * 1024 * 1024;
/** Lines added and removed up to which the shortest difference is looked for: the time grows with the square. */
const editsMax = 4000;
const contextLines = 3;

/** `undefined` is no file: all lines of the other one differ. */
export async function textDiff(
  files: FileBytes,
  old: TreeEntry | undefined,
  now: TreeEntry | undefined,
): Promise<TextDiff | NotShown> {
  const [before, after] = [await textOf(files, old), await textOf(files, now)];
  if (typeof before !== 'string') return before;
  if (typeof after !== 'string') return after;
  const names = ['', ''] as const;
  const options = { context: contextLines };
  const hunks =
    structuredPatch(...names, before, after, '', '', { ...options, maxEditLength: editsMax })?.hunks ??
    replaced(before, after);
  const lines = hunks.flatMap((hunk) => hunk.lines);
  const count = (mark: string): number => lines.filter((line) => line.startsWith(mark)).length;
  return { kind: 'text', added: count('+'), removed: count('-'), hunks };
}

/** One hunk that takes all of the old lines away and gives all of the new ones. */
function replaced(before: string, after: string): Hunk[] {
  const gone = structuredPatch('', '', before, '', '', '').hunks;
  const come = structuredPatch('', '', '', after, '', '').hunks;
  const [from, to] = [gone[0], come[0]];
  const { oldStart = 1, oldLines = 0 } = from ?? {};
  const { newStart = 1, newLines = 0 } = to ?? {};
  return [{ oldStart, oldLines, newStart, newLines, lines: [...(from?.lines ?? []), ...(to?.lines ?? [])] }];
}

async function textOf(files: FileBytes, entry: TreeEntry | undefined): Promise<string | NotShown> {
  if (!entry) return '';
  const size = entrySize(entry);
  if (size > textBytesMax) return { kind: 'none', why: `it has more than ${textBytesMax / 1024 ** 2} MiB` };
  const parts: Buffer[] = [];
  for await (const bytes of files.read(entry)) parts.push(bytes);
  const bytes = Buffer.concat(parts);
  if (bytes.includes(0) || !isUtf8(bytes)) return { kind: 'none', why: 'it is not text' };
  return bytes.toString();
}
