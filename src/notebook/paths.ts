/**
 * Paths of a notebook to those of pipelines: what it reads lies in repos, what it writes goes to
 * /pfs/out, and what an earlier stage has written is in that stage's repo.
 */
import { posix } from 'node:path';
import { filesOf, type FileUse } from './files.ts';
import type { Cell, Notebook } from './notebook.ts';
import { literal } from './python.ts';

const out = '/pfs/out';

export interface StageCells {
  /** The repo of its pipeline. */
  readonly repo: string;
  readonly cells: readonly Cell[];
}

/** A repo that the pipelines read and that none of them writes. */
export interface SourceRepo {
  readonly repo: string;
  /** Relative to the notebook's folder or absolute; folders end with a slash. */
  readonly sources: readonly string[];
}

interface Replacement {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

export class Paths {
  readonly notes: string[] = [];
  private readonly starts = new Map<Cell, number>();
  private readonly replacements: Replacement[] = [];
  /** By path of the notebook: the repo of the stage that has written it, and where it lies in it. */
  private readonly written = new Map<string, { readonly repo: string; readonly path: string }>();
  /** By repo: the folders and single files of this machine that the notebook read. */
  private readonly read = new Map<string, Set<string>>();
  private readonly inputsOf = new Map<string, Set<string>>();
  private readonly foldersOf = new Map<string, Set<string>>();

  constructor({ cells }: Notebook, stages: readonly StageCells[], keepPaths: boolean) {
    let whole = '';
    for (const cell of cells) {
      this.starts.set(cell, whole.length);
      whole += `${cell.source}\n`;
    }
    const cellAt = (offset: number): Cell | undefined =>
      cells.findLast((cell) => (this.starts.get(cell) ?? 0) <= offset);
    const stageAt = (offset: number): string =>
      stages.find((stage) => stage.cells.includes(cellAt(offset) as Cell))?.repo ?? stages[0]?.repo ?? '';
    const { uses, unknown } = filesOf(whole);
    for (const use of uses) {
      const { start, end } = use;
      const target = this.targetOf(use, stageAt(use.at));
      const isDone = this.replacements.some((each) => each.start === start);
      if (!keepPaths && !isDone && target !== use.path) this.replacements.push({ start, end, text: literal(target) });
    }
    for (const { at, by } of unknown) {
      this.notes.push(
        `cell ${cellAt(at)?.number}: ${by} opens a path that only running it would tell: look at it yourself`,
      );
    }
  }

  /** The source of a cell with its new paths. */
  applied(cell: Cell): string {
    const offset = this.starts.get(cell) ?? 0;
    const { source } = cell;
    let text = '';
    let done = 0;
    for (const { start, end, text: to } of this.replacements.toSorted((a, b) => a.start - b.start)) {
      if (start < offset || start >= offset + source.length) continue;
      text += source.slice(done, start - offset) + to;
      done = end - offset;
    }
    return text + source.slice(done);
  }

  /** Repos that a stage reads, of earlier stages too, in the order of their first use. */
  inputs(repo: string): readonly string[] {
    return [...(this.inputsOf.get(repo) ?? [])];
  }

  /** Folders that a stage must make in /pfs/out. */
  folders(repo: string): readonly string[] {
    return [...(this.foldersOf.get(repo) ?? [])].sort();
  }

  /** Repos that no stage writes. */
  get external(): SourceRepo[] {
    return [...this.read].map(([repo, sources]) => ({ repo, sources: [...sources] }));
  }

  /** A repo for a stage that reads nothing. */
  missing(): string {
    if (!this.read.has('data')) this.read.set('data', new Set());
    return 'data';
  }

  private targetOf({ path, access, by }: FileUse, stage: string): string {
    const [, inPfs] = /^\/pfs\/([A-Za-z0-9_-]+)/.exec(path) ?? [];
    if (inPfs === 'out') return path;
    if (inPfs !== undefined) {
      this.reads(stage, inPfs, undefined);
      return path;
    }
    const plain = posix.normalize(path);
    if (access === 'write') {
      const isElsewhere = plain.startsWith('/') || plain.startsWith('~');
      const below = isElsewhere ? posix.basename(plain) : plain.replace(/^(?:\.\.\/)+/, '');
      const target = posix.join(out, below === '.' ? '' : below);
      this.written.set(plain, { repo: stage, path: below });
      const isFolder = /(?:^|\.)(?:makedirs|mkdir)$/.test(by);
      const folder = isFolder ? target : posix.dirname(target);
      if (folder !== out) added(this.foldersOf, stage, folder);
      return target;
    }
    const before = this.written.get(plain);
    if (before?.repo === stage) return posix.join(out, before.path);
    if (before) {
      added(this.inputsOf, stage, before.repo);
      return posix.join('/pfs', before.repo, before.path);
    }
    const { repo, source, rest } = inputOf(plain);
    this.reads(stage, repo, source);
    return posix.join('/pfs', repo, rest);
  }

  private reads(stage: string, repo: string, source: string | undefined): void {
    const sources = this.read.get(repo) ?? new Set();
    this.read.set(repo, source === undefined ? sources : sources.add(source));
    added(this.inputsOf, stage, repo);
  }
}

function added(sets: Map<string, Set<string>>, key: string, value: string): void {
  sets.set(key, (sets.get(key) ?? new Set()).add(value));
}

/**
 * The repo for a path that is read: named after its first folder; of an absolute path, after the one
 * that it lies in. `source` is what of this machine goes into the repo.
 */
function inputOf(path: string): { repo: string; source: string; rest: string } {
  const up = /^(?:\.\.\/)*/.exec(path)?.[0] ?? '';
  const parts = path.slice(up.length).split('/').filter(Boolean);
  const isAbsolute = path.startsWith('/') || path.startsWith('~');
  const looksLikeFolder = parts.length === 1 && !/[.*?[]/.test(parts[0] ?? '');
  const at = isAbsolute ? Math.max(0, parts.length - 2) : 0;
  const name = looksLikeFolder || parts.length > 1 ? parts[at] : undefined;
  const repo = name?.replace(/[^A-Za-z0-9_-]+/g, '-').replace(/^-+|-+$/g, '');
  const isPattern = /[*?[]/.test(path);
  if (!repo) return { repo: 'data', source: isPattern ? up || './' : path, rest: parts.at(-1) ?? '' };
  const source = `${path.startsWith('/') ? '/' : up}${parts.slice(0, at + 1).join('/')}/`;
  return { repo, source, rest: parts.slice(at + 1).join('/') };
}
