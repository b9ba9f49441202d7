/**
 * Blobs by hash from the projects of another store, whichever has them: for what is lost in one.
 */
import { isPachError, type PachError } from '../base/errors.ts';
import type { KnownBlobs } from '../chunks/known.ts';
import type { Ref } from '../model/refs.ts';
import type { Project } from '../versions/project.ts';
import { copiesOf, type Copies } from '../versions/upkeep/copies.ts';

/**
 * What these projects have. One whose head or indexes can't be read is passed over, which `note` is told;
 * throws what is wrong with it where there is no other.
 */
export async function copiesFrom(projects: readonly Project[], note: (what: string) => void): Promise<Copies[]> {
  const copies: Copies[] = [];
  let failure: PachError | undefined;
  for (const project of projects) {
    try {
      const { known } = await project.load();
      await known.findAll([]);
      copies.push(inIndexesOf(project, known));
    } catch (error) {
      if (!isPachError(error, 'damaged', 'unsupported', 'not-found')) throw error;
      note(`nothing is taken from project ${project.options.name} of ${project.options.store.url}: ${error.message}`);
      failure ??= error;
    }
  }
  if (copies.length === 0 && failure) throw failure;
  return copies;
}

/** What the indexes of a project list, verified when it is read. */
function inIndexesOf({ reader }: Project, known: KnownBlobs): Copies {
  const good = copiesOf(reader);
  const placed = async (ref: Ref): Promise<Ref | undefined> => {
    const place = await known.find(ref.hash).catch((error: unknown) => {
      if (!isPachError(error, 'damaged')) throw error;
      return undefined;
    });
    return place && { ...ref, place };
  };
  return {
    async chunk(ref) {
      const there = await placed(ref);
      return there && good.chunk(there);
    },
    async node(ref) {
      const there = await placed(ref);
      return there && good.node(there);
    },
  };
}
