/**
 * Lineage, step by step: from a version or a path of one to all that it was made of, or to all that was
 * made of it. A step is that of `up.ts` or `down.ts`; here is which things come next, each once.
 */
import type { Snapshot } from '../../versions/snapshot.ts';
import { edgesDown } from './down.ts';
import type { Edge, Thing } from './edges.ts';
import { edgesUp } from './up.ts';
import { Walk, type LineageOptions } from './walk.ts';

/** The edges of the lineage of a thing, each once, the nearest first. */
export async function* lineageOf(snapshot: Snapshot, start: Thing, options: LineageOptions): AsyncGenerator<Edge> {
  const walk = new Walk(snapshot, options);
  walk.isNew('thing', keyOf(start));
  let level: Thing[] = [start];
  for (let step = 0; step < options.depth && level.length > 0; step += 1) {
    const next: Thing[] = [];
    for (const at of level) {
      for await (const edge of options.down ? edgesDown(walk, at) : edgesUp(walk, at)) {
        options.signal.throwIfAborted();
        yield edge;
        const to = options.down ? edge.to : edge.from;
        if ((await goesOn(walk, to)) && walk.isNew('thing', keyOf(to))) next.push(to);
      }
    }
    level = next;
  }
}

/** False for a commit from which no edge leads on: most things of a walk lie in such. */
function goesOn(walk: Walk, { repo, commit }: Thing): Promise<boolean> {
  return walk.options.down ? walk.uses.any(repo, commit) : hasSources(walk, repo, commit);
}

function keyOf({ repo, commit, path = '' }: Thing): string {
  return `${repo}@${commit}:${path}`;
}

async function hasSources(walk: Walk, repo: string, id: string): Promise<boolean> {
  const { commit } = await walk.known(repo, id);
  if (!commit) walk.note(`${repo}@${id} was deleted, so what it was made of is not known`);
  return commit !== undefined && (commit.provenance.length > 0 || (await walk.uses.hasDeclared(repo)));
}
