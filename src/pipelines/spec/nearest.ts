/**
 * Which name was probably meant, for errors about an unknown one.
 */

/** The name most like `name`, or undefined when none is like it. Case and `_` count for nothing. */
export function nearest(name: string, names: Iterable<string>): string | undefined {
  const wanted = plain(name);
  let best: string | undefined;
  let bestEdits = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const each of names) {
    const edits = editsBetween(wanted, plain(each), bestEdits);
    if (edits >= bestEdits) continue;
    best = each;
    bestEdits = edits;
  }
  return best;
}

function plain(name: string): string {
  return name.slice(0, 100).replaceAll(/[_-]/g, '').toLowerCase();
}

/** Letters to add, drop, change or swap with their neighbour; `enough` for that many and more. */
function editsBetween(a: string, b: string, enough: number): number {
  if (Math.abs(a.length - b.length) >= enough) return enough;
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const line = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let edits = Math.min(at(above, column) + 1, at(line, column - 1) + 1, at(above, column - 1) + (same ? 0 : 1));
      const swapped = row > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) edits = Math.min(edits, at(before, column - 2) + 1);
      line.push(edits);
    }
    before = above;
    above = line;
  }
  return at(above, b.length);
}

function at(line: readonly number[], column: number): number {
  return line[column] ?? Infinity;
}
