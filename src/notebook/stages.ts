/**
 * The parts of a notebook that become pipelines of their own, one after another, and what each must
 * hand to the next: values that a later one uses. Imports, functions and constants are repeated.
 */
import { blocksOf, setNames, usedNames, type Block } from './blocks.ts';
import type { Cell, Notebook } from './notebook.ts';

/** Cells that are one pipeline. */
export interface Group {
  /** Empty where a notebook is one pipeline. */
  readonly name: string;
  readonly cells: readonly Cell[];
}

export interface Stage extends Group {
  /** Of the stages before: imports, functions and constants. */
  readonly repeated: readonly string[];
  /** Names whose values the stage before has kept. */
  readonly loads: readonly string[];
  /** Names whose values it keeps for those after it. */
  readonly keeps: readonly string[];
}

const stageTag = /^stage:(.+)$/;
export const parametersTag = 'parameters';

/** The whole as one group, or split by tags `stage:NAME`, or where there are none by headings. */
export function groupsOf(notebook: Notebook, split: boolean): Group[] {
  return split ? grouped(notebook) : [{ name: '', cells: notebook.cells }];
}

/** What groups must hand to each other. */
export function stagesOf(groups: readonly Group[]): Stage[] {
  const parts = groups.map((group) => ({ group, blocks: group.cells.flatMap(blocksIn) }));
  const textOf = (blocks: readonly Block[]): string => blocks.map(({ text }) => text).join('\n');
  const sets = parts.map(({ blocks }) => setNames(textOf(blocks.filter(({ kind }) => kind === 'other'))));
  const uses = parts.map(({ blocks }) => usedNames(textOf(blocks)));
  /** What stages from `first` on need of those before it. */
  const handed = (first: number): string[] => {
    const before = new Set(sets.slice(0, first).flatMap((names) => [...names]));
    return [...before].filter((name) => uses.slice(first).some((names) => names.has(name))).sort();
  };
  return parts.map(({ group }, index) => ({
    ...group,
    repeated: parts
      .slice(0, index)
      .flatMap(({ blocks }) => blocks.filter(({ kind }) => kind !== 'other').map(({ text }) => text.trim())),
    loads: index === 0 ? [] : handed(index),
    keeps: index === parts.length - 1 ? [] : handed(index + 1),
  }));
}

/** Parameters read the environment, so each stage can do it again. */
function blocksIn({ source, tags }: Cell): Block[] {
  const blocks = blocksOf(source);
  return tags.includes(parametersTag) ? blocks.map(({ text }) => ({ text, kind: 'constant' })) : blocks;
}

/** Groups that have code; two of one name are one, where they follow each other. */
function grouped(notebook: Notebook): Group[] {
  const nameOf = notebook.cells.some(({ tags }) => tags.some((tag) => stageTag.test(tag)))
    ? (cell: Cell) => cell.tags.map((tag) => stageTag.exec(tag)?.[1]).find((name) => name !== undefined)
    : byHeadings(notebook);
  const groups: { readonly name: string; readonly cells: Cell[] }[] = [];
  let early: Cell[] = [];
  for (const cell of notebook.cells) {
    const name = nameOf(cell);
    const slug = name === undefined ? groups.at(-1)?.name : slugOf(name);
    if (slug === undefined) early.push(cell);
    else if (groups.at(-1)?.name === slug) groups.at(-1)?.cells.push(cell);
    else {
      // What comes before the first stage belongs to it.
      groups.push({
        name: groups.some((group) => group.name === slug) ? `${slug}-${groups.length + 1}` : slug,
        cells: [...early, cell],
      });
      early = [];
    }
  }
  return groups.length > 0 ? groups : [{ name: 'all', cells: early }];
}

/** Headings of the highest level that has at least two. */
function byHeadings({ headings }: Notebook): (cell: Cell) => string | undefined {
  const level = [1, 2, 3, 4, 5, 6].find((each) => headings.filter((heading) => heading.level === each).length > 1);
  const chosen = headings.filter((heading) => heading.level === level);
  return ({ number }) => chosen.findLast(({ before }) => before <= number)?.text;
}

/** A part of a pipeline's name. */
export function slugOf(text: string): string {
  const slug = text
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40);
  return slug === '' ? 'part' : slug;
}
