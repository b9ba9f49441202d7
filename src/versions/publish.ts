/**
 * One operation, published by one move of the head: what was uploaded, and what is known, is durable
 * and listed by then.
 */
import { randomBytes } from 'node:crypto';
import { allEnded } from '../base/async.ts';
import { isPachError } from '../base/errors.ts';
import type { IndexList } from '../chunks/known.ts';
import { mergeIndexes } from '../chunks/merge-indexes.ts';
import type { Head } from '../model/records/head.ts';
import {
  decodeOperation,
  encodeOperation,
  type OperationId,
  type OperationRecord,
} from '../model/records/operation.ts';
import type { Ref } from '../model/refs.ts';
import { UnknownOutcome } from '../store/retry.ts';
import type { Base, Project } from './project.ts';
import { renew } from './renew.ts';
import type { Upload } from './upload.ts';

/** What an operation says of itself. */
export type Deed = Pick<OperationRecord, 'what' | 'isEngines' | 'undoes' | 'redoes'>;

/** What an engine does, for `update`: undo passes it by. */
export function byEngine(what: string): Deed {
  return { what, isEngines: true };
}

/** What an operation says, and the refs that it leads to. */
interface Publication {
  readonly deed: Deed;
  readonly author: string;
  readonly refs: Ref;
  /** There is no way back to what was before. */
  readonly ends?: boolean;
}

/** A move of the head that nobody has answered. */
interface Doubt {
  readonly id: OperationId;
  readonly before: Head;
  readonly unknown: UnknownOutcome;
}

/** False when another writer was first. `base` is undefined for a project that is made. */
export async function publish(
  project: Project,
  { deed, author, refs, ends = false }: Publication,
  { base, upload }: { readonly base: Base | undefined; readonly upload: Upload },
): Promise<boolean> {
  const { store, extents, name } = project.options;
  const operation = {
    id: randomBytes(16).toString('hex') as OperationId,
    time: Math.max(Date.now(), (base?.head.operation.time ?? 0) + 1),
    who: author,
    ...deed,
    hasParent: base !== undefined && !ends,
  };
  const parents = base && !ends ? [base.head.operationRef] : [];
  const body = encodeOperation(operation);
  const operationRef = await upload.nodes.add({ kind: 'operation', level: 0, refs: [refs, ...parents], body });
  const condemned = base && (await renew(project, upload, base));
  upload.seal();
  const { segments, fresh } = base?.head.indexes ?? { segments: [], fresh: [] };
  const listed = new Set(fresh.map(({ id }) => id));
  const added = upload.unlisted().filter(({ id }) => !listed.has(id));
  // A long upload ends with all of it in segments: who comes next reads one of these, not many packs' own indexes.
  const options = { cache: project.indexes, ...(upload.hasAnnounced && { freshMax: 0 }) };
  const merge = (): Promise<IndexList> =>
    mergeIndexes(store, extents, name, { segments, fresh: [...fresh, ...added] }, options);
  const merging = merge().catch(async (error: unknown) => {
    if (!isPachError(error, 'damaged')) throw error;
    // The index of an own pack was not in memory any more, and the pack not stored yet.
    await upload.finish();
    return merge();
  });
  const [indexes] = await allEnded([merging, upload.finish()]);
  const head = { epoch: 0, scrub: false, ...base?.head, project: name, operation, operationRef, refs, indexes };
  try {
    return await project.replace(base?.token, { ...head, condemned, scrub: head.scrub || ends });
  } catch (error) {
    if (!(error instanceof UnknownOutcome) || !base) throw error;
    return isPublished(project, { id: operation.id, before: base.head, unknown: error });
  }
}

/** Whether the operation is among those that led from `before` to the head as it is now. */
async function isPublished(project: Project, { id, before, unknown }: Doubt): Promise<boolean> {
  for (let ref: Ref | undefined = (await project.load()).head.operationRef; ref;) {
    if (ref.hash.equals(before.operationRef.hash)) return false;
    const { body, refs } = await project.reader.node(ref);
    if (decodeOperation(body).id === id) return true;
    ref = refs[1];
  }
  throw unknown; // a purge has ended history since
}
