/**
 * Places the nodes of a graph in columns, so that arrows point from left to right and cross little.
 * An arrow over several columns gets a bend in each between, so that it passes no node.
 */

export interface Arrow {
  readonly from: string;
  readonly to: string;
}

/** A place in a column: a node, or a bend of an arrow that passes. */
export interface Place {
  readonly id: string;
  readonly bend: boolean;
}

export interface Layers {
  /** From left to right; each from top to bottom. */
  readonly columns: readonly (readonly Place[])[];
  /** What each arrow passes, from its node to its other node, by the arrow. */
  readonly routes: ReadonlyMap<Arrow, readonly string[]>;
}

const sweeps = 6;

/** Lays out `nodes`; every arrow is between two of them. A cycle has an arrow that points back. */
export function layersOf(nodes: readonly string[], arrows: readonly Arrow[]): Layers {
  const columnOf = columnsOf(nodes, arrows);
  const columns: Place[][] = [];
  const put = (column: number, place: Place): void => void (columns[column] ??= []).push(place);
  for (const id of nodes) put(columnOf.get(id) ?? 0, { id, bend: false });
  const routes = new Map<Arrow, string[]>();
  for (const [index, arrow] of arrows.entries()) {
    const [first, last] = [columnOf.get(arrow.from) ?? 0, columnOf.get(arrow.to) ?? 0];
    const route = [arrow.from];
    for (let column = first + 1; column < last; column++) {
      // No name of a node: those have no line end.
      const id = `${index}\n${column}`;
      put(column, { id, bend: true });
      route.push(id);
    }
    routes.set(arrow, [...route, arrow.to]);
  }
  order(columns, [...routes.values()]);
  return { columns, routes };
}

/** One to the right of all that points to it; what nothing points to, next to what it points to. */
function columnsOf(nodes: readonly string[], arrows: readonly Arrow[]): Map<string, number> {
  const [above, below] = [neighbours(arrows, 'to', 'from'), neighbours(arrows, 'from', 'to')];
  const missing = new Map(nodes.map((id) => [id, above.get(id)?.length ?? 0]));
  const columns = new Map<string, number>();
  const ready = nodes.filter((id) => missing.get(id) === 0);
  const rest = [...nodes];
  while (columns.size < nodes.length) {
    const id = ready.shift() ?? rest.shift();
    if (id === undefined) break;
    if (columns.has(id)) continue;
    columns.set(id, Math.max(-1, ...(above.get(id) ?? []).map((each) => columns.get(each) ?? -1)) + 1);
    for (const each of below.get(id) ?? []) {
      const left = (missing.get(each) ?? 0) - 1;
      missing.set(each, left);
      if (left === 0) ready.push(each);
    }
    // In a cycle nothing gets ready: the first that is left begins.
    if (ready.length === 0) while (rest.length > 0 && columns.has(rest[0] as string)) rest.shift();
  }
  for (const id of nodes) {
    const next = (below.get(id) ?? []).map((each) => columns.get(each) ?? 0);
    if (!above.has(id) && next.length > 0) columns.set(id, Math.max(0, Math.min(...next) - 1));
  }
  return columns;
}

function neighbours(arrows: readonly Arrow[], of: keyof Arrow, what: keyof Arrow): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const arrow of arrows) found.set(arrow[of], [...(found.get(arrow[of]) ?? []), arrow[what]]);
  return found;
}

/** Sorts each column by the middle of its neighbours in the column before, then after, a few times. */
function order(columns: Place[][], routes: readonly (readonly string[])[]): void {
  const steps = routes.flatMap((route) =>
    route.slice(1).map((to, index): Arrow => ({ from: route[index] as string, to })),
  );
  const [above, below] = [neighbours(steps, 'to', 'from'), neighbours(steps, 'from', 'to')];
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const rightward = sweep % 2 === 0;
    const near = rightward ? above : below;
    const places = new Map<string, number>();
    const remember = (column: readonly Place[]): void =>
      column.forEach(({ id }, index) => places.set(id, index - (column.length - 1) / 2));
    for (const column of rightward ? columns : columns.toReversed()) {
      remember(column);
      const middles = new Map(column.map(({ id }) => [id, middle(near.get(id), places) ?? places.get(id) ?? 0]));
      column.sort((a, b) => (middles.get(a.id) ?? 0) - (middles.get(b.id) ?? 0));
      remember(column);
    }
  }
}

function middle(ids: readonly string[] | undefined, places: ReadonlyMap<string, number>): number | undefined {
  const known = (ids ?? []).flatMap((id) => places.get(id) ?? []);
  return known.length === 0 ? undefined : known.reduce((sum, each) => sum + each, 0) / known.length;
}
