/**
 * Lineage as people are shown it: a tree or a drawing of commits, in which what repeats is one line
 * with counts. Programs are shown the edges themselves.
 */
import { visible } from '../base/visible.ts';
import { shortId } from '../model/ids.ts';
import type { CodeInfo, Edge, Thing } from '../pipelines/lineage/edges.ts';
import type { IdText } from './datums.ts';
import type { Graph } from './draw.ts';

export const edgeJson =
  '{from: {repo, commit, path?}, to: {repo, commit, path?}, kind, pipeline?, version?, job?, datum?, image?, code?: {hash, remote, commit, dirty}}; from is what was used, with --down too; kind: computed or declared';

/** Shown of many; the rest is counted. */
const pathsShown = 3;
const thingsShown = 5;

/** A commit of the lineage: all of it, or the paths of it that count. */
interface Node {
  readonly repo: string;
  readonly commit: string;
  readonly paths: Set<string>;
  /** Towards what is asked for next: what it was made of, or what was made of it. */
  readonly ways: Map<string, Way>;
}

/** Things that were made, or used, by the same version of the same pipeline. */
interface Way {
  readonly how: Pick<Edge, 'kind' | 'pipeline' | 'version' | 'image' | 'code'>;
  readonly ends: Set<Node>;
  readonly jobs: Set<string>;
  datums: number;
  lastDatum: string | undefined;
}

export class LineageGraph {
  private readonly nodes = new Map<string, Node>();
  private readonly top: Node;
  private readonly down: boolean;

  constructor(top: Thing, down: boolean) {
    this.down = down;
    this.top = this.node(top);
  }

  add(edge: Edge): void {
    const [from, to] = [this.node(edge.from), this.node(edge.to)];
    const [near, far] = this.down ? [from, to] : [to, from];
    const { kind, pipeline, version, image, code } = edge;
    const key = JSON.stringify([kind, pipeline, version, image, code?.hash, code?.commit, code?.dirty]);
    let way = near.ways.get(key);
    if (!way) {
      const how = { kind, ...(pipeline !== undefined && { pipeline }), version, image, code } as Way['how'];
      near.ways.set(key, (way = { how, ends: new Set(), jobs: new Set(), datums: 0, lastDatum: undefined }));
    }
    way.ends.add(far);
    if (edge.job !== undefined) way.jobs.add(edge.job);
    // The edges of a datum follow one another.
    if (edge.datum !== undefined && edge.datum !== way.lastDatum) way.datums += 1;
    way.lastDatum = edge.datum;
  }

  get hasEdges(): boolean {
    return this.waysOf(this.top).size > 0;
  }

  /** The tree, a line each. */
  lines(id: IdText): string[] {
    const lines = [thingText(this.top, id)];
    const shown = new Set([this.top]);
    // Lines that are still to come, the next one last: graphs may be too deep for calls within calls.
    const waiting = branchesOf(this.waysOf(this.top), '').toReversed();
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const { node, way, begin, inner } = next;
      if (way) lines.push(begin + howText(way, this.down, id));
      else if (typeof node === 'string') lines.push(begin + node);
      else if (node) {
        const isAgain = shown.has(node);
        lines.push(`${begin}${thingText(node, id)}${isAgain && this.waysOf(node).size > 0 ? ' (as above)' : ''}`);
        if (isAgain) continue;
        shown.add(node);
        waiting.push(...branchesOf(this.waysOf(node), inner).toReversed());
      }
    }
    return lines;
  }

  /** What is drawn of it: commits, and arrows from what was used to what was made. */
  graph(): Graph {
    const idOf = (node: Node): string => visible(thingText(node, shortId));
    const made = new Map<Node, string | undefined>();
    const edges: { from: string; to: string; label: string }[] = [];
    for (const node of this.nodes.values()) {
      for (const way of node.ways.values()) {
        const { kind, version } = way.how;
        for (const end of way.ends) {
          const [from, to] = this.down ? [node, end] : [end, node];
          if (kind === 'computed') made.set(to, version === undefined ? undefined : `version ${version}`);
          edges.push({ from: idOf(from), to: idOf(to), label: kind === 'declared' ? kind : '' });
        }
      }
    }
    const nodes = [...this.nodes.values()].map((node) => {
      return { id: idOf(node), kind: made.has(node) ? 'pipeline' : 'repo', state: made.get(node) } as const;
    });
    return { nodes, edges };
  }

  /** Of paths of which nothing is known any more, those of all of the commit. */
  private waysOf({ repo, commit, ways }: Node): Node['ways'] {
    return ways.size > 0 ? ways : (this.nodes.get(`${repo}@${commit}`)?.ways ?? ways);
  }

  private node({ repo, commit, path }: Thing): Node {
    const key = `${repo}@${commit}${path === undefined ? '' : ':'}`;
    let node = this.nodes.get(key);
    if (!node) this.nodes.set(key, (node = { repo, commit, paths: new Set(), ways: new Map() }));
    if (path !== undefined && path !== '/') node.paths.add(path);
    return node;
  }
}

/** A line of the tree: how, or what; `inner` begins the lines below it. */
interface Branch {
  readonly begin: string;
  readonly inner: string;
  readonly way?: Way;
  readonly node?: Node | string;
}

/** The lines below a node, but for those below its ends. */
function branchesOf(ways: Node['ways'], indent: string): Branch[] {
  return marked([...ways.values()], indent).flatMap(({ item: way, begin, inner }) => [
    { begin, inner, way },
    ...marked(foldedEnds(way.ends), inner).map(({ item: node, ...marks }) => ({ node, ...marks })),
  ]);
}

function marked<T>(items: readonly T[], indent: string): { item: T; begin: string; inner: string }[] {
  return items.map((item, index) => {
    const isLast = index === items.length - 1;
    return { item, begin: `${indent}${isLast ? '└─' : '├─'} `, inner: `${indent}${isLast ? '   ' : '│  '}` };
  });
}

/** What a way leads to; where that is many versions of one repo, the first of them and how many more there are. */
function foldedEnds(ends: ReadonlySet<Node>): (Node | string)[] {
  const byRepo = new Map<string, Node[]>();
  for (const node of ends) byRepo.set(node.repo, [...(byRepo.get(node.repo) ?? []), node]);
  return [...byRepo].flatMap(([repo, nodes]) => {
    if (nodes.length <= thingsShown) return nodes;
    return [...nodes.slice(0, pathsShown), `and ${nodes.length - pathsShown} more versions of ${repo}`];
  });
}

function thingText({ repo, commit, paths }: Node, id: IdText): string {
  const [only, second] = paths;
  const name = `${repo}@${id(commit)}`;
  if (only === undefined) return name;
  return second === undefined ? `${name}:${only}` : `${name} (${paths.size} paths: ${pathsText(paths)})`;
}

function pathsText(paths: ReadonlySet<string>): string {
  const first: string[] = [];
  for (const path of paths) if (first.push(path) === pathsShown) break;
  return `${first.join(' ')}${paths.size > first.length ? ' …' : ''}`;
}

function howText({ how, jobs, datums }: Way, down: boolean, id: IdText): string {
  if (how.kind === 'declared') return down ? 'declared to be used for' : 'declared to be made of';
  const { pipeline = '', version, image, code } = how;
  const [job] = jobs;
  const by = [
    `${down ? 'used' : 'computed'} by ${pipeline}${version === undefined ? '' : ` version ${version}`}`,
    ...(image ? [`image ${image}`] : []),
    ...(code ? [codeText(code)] : []),
    jobs.size === 1 && job !== undefined ? `job ${id(job)}` : `${jobs.size} jobs`,
    ...(datums > 0 ? [`${datums} ${datums === 1 ? 'datum' : 'datums'}`] : []),
  ];
  return by.join(', ');
}

/** Code by where it came from, or by its hash. */
export function codeText({ hash, remote, commit, dirty }: CodeInfo): string {
  if (commit === null) return `code ${shortId(hash)}`;
  return `code ${remote === null ? '' : `${remote} `}${shortId(commit)}${dirty ? ' (changed since)' : ''}`;
}
