/**
 * The graph of repos and pipelines as a picture (SVG) and as text for Graphviz. A pipeline stands
 * for its repo of results too.
 */
import { layersOf, type Arrow } from './layers.ts';
import { svgText } from './svg.ts';

export interface DrawnPipeline {
  readonly name: string;
  readonly inputs: readonly { readonly repo: string; readonly branch: string }[];
  /** How its last job went: written below its name. */
  readonly state?: string | undefined;
}

export interface Drawing {
  readonly pipelines: readonly DrawnPipeline[];
}

interface Node {
  /** Also what is written there. */
  readonly id: string;
  readonly kind: 'repo' | 'pipeline';
  readonly state: string | undefined;
}

interface Edge extends Arrow {
  /** The branches that are read, where they are not just `master`. */
  readonly label: string;
}

/** What is drawn, of whatever it was made. */
export interface Graph {
  readonly nodes: readonly Node[];
  readonly edges: readonly Edge[];
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

const margin = 20;
const rowHeight = 64;
const boxHeight = 40;
const gap = 80;
const letterWidth = 8;
const lettersMax = 32;
/** Fill and outline. */
const repoColors = ['#f1f3f5', '#868e96'] as const;
const stateColors: Readonly<Record<string, readonly [string, string]>> = {
  success: ['#ebfbee', '#2b8a3e'],
  failure: ['#fff5f5', '#c92a2a'],
  killed: ['#fff5f5', '#c92a2a'],
  rejected: ['#fff5f5', '#c92a2a'],
  unrunnable: ['#fff9db', '#e67700'],
  running: ['#e7f5ff', '#1864ab'],
};
const plainColors = ['#ffffff', '#364fc7'] as const;

/** For `dot`. */
export function dotOf(drawing: Drawing | Graph): string {
  const { nodes, edges } = graphOf(drawing);
  const lines = [
    'digraph pipelines {',
    '  rankdir=LR;',
    ...nodes.map(({ id, kind, state }) => {
      const label = state === undefined ? id : `${id}\n${state}`;
      return `  ${quoted(id)} [shape=${kind === 'repo' ? 'cylinder' : 'box'}, label=${quoted(label)}];`;
    }),
    ...edges.map(({ from, to, label }) => {
      const attributes = label === '' ? '' : ` [label=${quoted(label)}]`;
      return `  ${quoted(from)} -> ${quoted(to)}${attributes};`;
    }),
    '}',
  ];
  return `${lines.join('\n')}\n`;
}

/** An SVG document. */
export function svgOf(drawing: Drawing | Graph): string {
  const { nodes, edges } = graphOf(drawing);
  const { columns, routes } = layersOf(
    nodes.map(({ id }) => id),
    edges,
  );
  const boxes = new Map<string, Box>();
  const rows = Math.max(1, ...columns.map((column) => column.length));
  let x = margin;
  for (const column of columns) {
    const letters = column.map(({ id, bend }) => (bend ? 0 : Math.min(lettersMax, id.length)));
    const width = Math.max(8, ...letters) * letterWidth + 24;
    const top = margin + ((rows - column.length) * rowHeight) / 2;
    for (const [index, { id }] of column.entries()) boxes.set(id, { x, y: top + (index + 0.5) * rowHeight, width });
    x += width + gap;
  }
  const size = { width: Math.max(x - gap, margin) + margin, height: rows * rowHeight + 2 * margin };
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}" viewBox="0 0 ${size.width} ${size.height}" font-family="system-ui, sans-serif" font-size="13">`,
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#495057"/></marker></defs>',
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    ...edges.map((edge) => edgeSvg(edge, routes.get(edge) ?? [], boxes)),
    ...nodes.map((node) => nodeSvg(node, boxes.get(node.id) as Box)),
    '</svg>\n',
  ].join('\n');
}

function graphOf(drawing: Drawing | Graph): Graph {
  if ('nodes' in drawing) return drawing;
  const { pipelines } = drawing;
  const nodes = new Map<string, Node>();
  for (const { name, state } of pipelines) nodes.set(name, { id: name, kind: 'pipeline', state });
  const branches = new Map<string, { readonly from: string; readonly to: string; readonly names: Set<string> }>();
  for (const { name, inputs } of pipelines) {
    for (const { repo, branch } of inputs) {
      if (!nodes.has(repo)) nodes.set(repo, { id: repo, kind: 'repo', state: undefined });
      const key = JSON.stringify([repo, name]);
      const edge = branches.get(key) ?? { from: repo, to: name, names: new Set() };
      branches.set(key, edge);
      edge.names.add(branch);
    }
  }
  const edges = [...branches.values()].map(({ from, to, names }): Edge => {
    const label = [...names].join(', ');
    return { from, to, label: label === 'master' ? '' : label };
  });
  return { nodes: [...nodes.values()], edges };
}

function nodeSvg({ id, kind, state }: Node, { x, y, width }: Box): string {
  const colors = kind === 'repo' ? repoColors : (state !== undefined && stateColors[state]) || plainColors;
  const shape = `<rect x="${x}" y="${y - boxHeight / 2}" width="${width}" height="${boxHeight}" rx="${kind === 'repo' ? boxHeight / 2 : 4}" fill="${colors[0]}" stroke="${colors[1]}"/>`;
  const name = id.length > lettersMax ? `${id.slice(0, lettersMax - 1)}…` : id;
  const middle = x + width / 2;
  const title = `<text x="${middle}" y="${state === undefined ? y + 5 : y - 2}" text-anchor="middle">${svgText(name)}</text>`;
  const below =
    state === undefined
      ? ''
      : `<text x="${middle}" y="${y + 14}" text-anchor="middle" font-size="11" fill="${colors[1]}">${svgText(state)}</text>`;
  return `<g><title>${svgText(`${kind} ${id}`)}</title>${shape}${title}${below}</g>`;
}

/** From the right side of a box to the left side of the other, level at both and at every bend. */
function edgeSvg({ label }: Edge, route: readonly string[], boxes: ReadonlyMap<string, Box>): string {
  const passed = route.flatMap((id) => boxes.get(id) ?? []);
  let path = '';
  let middle = { x: 0, y: 0 };
  for (const [index, { x, y }] of passed.slice(1).entries()) {
    const before = passed[index] as Box;
    const right = before.x + before.width;
    middle = { x: (right + x) / 2, y: (before.y + y) / 2 };
    path += `${index === 0 ? 'M' : 'L'}${right} ${before.y}C${middle.x} ${before.y} ${middle.x} ${y} ${x} ${y}`;
  }
  const line = `<path d="${path}" fill="none" stroke="#495057" marker-end="url(#tip)"/>`;
  if (label === '') return line;
  // On the last stretch, with a rim that parts it from the line.
  const rim = 'stroke="#ffffff" stroke-width="4" paint-order="stroke"';
  return `${line}<text x="${middle.x}" y="${middle.y + 4}" text-anchor="middle" font-size="11" fill="#495057" ${rim}>${svgText(label)}</text>`;
}

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"`;
}
