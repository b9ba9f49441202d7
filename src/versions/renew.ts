/**
 * What a writer does when garbage was collected while it worked. It makes sure that everything it refers
 * to is still there and will stay, and stores again what is gone or condemned (FORMAT.md section 10).
 */
import { mapOrdered } from '../base/async.ts';
import { isPachError, PachError } from '../base/errors.ts';
import type { KnownBlobs } from '../chunks/known.ts';
import { BlobTable } from '../chunks/blob-table.ts';
import { packEntry } from '../chunks/pack.ts';
import type { StoredPack } from '../chunks/pack-writer.ts';
import { packKey } from '../model/keys.ts';
import type { CondemnedRef } from '../model/records/head.ts';
import { hashKey, type Ref } from '../model/refs.ts';
import { readCondemned, writeCondemned } from './condemned.ts';
import type { Base, Project } from './project.ts';
import type { Upload } from './upload.ts';

const readsMax = 16;

/** The command whose objects were collected before it could publish them; it can be run again. */
export class CollectedError extends PachError {
  constructor(project: Project, cause?: unknown) {
    super('conflict', {
      what: `project ${project.options.name}`,
      why: 'a garbage collection removed data that this command had stored and not yet published',
      next: 'run the same command again',
      cause,
    });
  }
}

/** `CollectedError` where `error` is damage that a collection may have done since `upload` began; else `error`. */
export async function collectedOr(project: Project, upload: Upload, error: unknown): Promise<unknown> {
  if (!isPachError(error, 'damaged')) return error;
  const isOvertaken = upload.isRenewed || (await project.load()).head.epoch !== upload.epoch;
  return isOvertaken ? new CollectedError(project, error) : error;
}

/**
 * Makes a finished upload rely on `base`, where that is of another epoch than the head that it
 * knew. Resolves to the condemned list of the next head, from which the upload's own packs are
 * taken. Throws `CollectedError` when that is too late.
 */
export async function renew(project: Project, upload: Upload, base: Base): Promise<CondemnedRef | undefined> {
  if (!upload.isRenewed && upload.epoch === base.head.epoch) return base.head.condemned;
  const own = new Map((await upload.finish()).map((pack) => [pack.id, pack]));
  const condemned = await readCondemned(project.options.store, base.head);
  if (upload.epoch !== base.head.epoch) {
    if (condemned.some(({ id, deleting }) => deleting && own.has(id))) throw new CollectedError(project);
    await stillThere(project, [...own.values()]);
    upload.relyOn(base.known, base.head.epoch);
    const missing = new Missing(project, upload, base.known);
    for (const pack of own.values()) if (pack.kind === 'meta') await missing.storeWhatLacks(pack);
    await upload.finish();
  }
  const rest = condemned.filter(({ id }) => !own.has(id));
  if (rest.length === condemned.length) return base.head.condemned;
  return writeCondemned(project.options.store, project.options.name, rest);
}

async function stillThere(project: Project, packs: readonly StoredPack[]): Promise<void> {
  const { store, name } = project.options;
  const checks = mapOrdered(packs, readsMax, async ({ kind, id, bytes }) => {
    const key = packKey(name, kind, id);
    const { size } = await store.readTail(key, 1).catch((error: unknown) => {
      throw isPachError(error, 'not-found') ? new CollectedError(project, error) : error;
    });
    if (size !== bytes) throw new PachError('damaged', { what: key, why: `it has ${size} bytes, not ${bytes}` });
  });
  for await (const _ of checks);
}

/** Stores again what an upload refers to and the project no longer has. */
class Missing {
  private readonly project: Project;
  private readonly upload: Upload;
  private readonly known: KnownBlobs;
  private readonly stored = new Set<string>();

  constructor(project: Project, upload: Upload, known: KnownBlobs) {
    this.project = project;
    this.upload = upload;
    this.known = known;
  }

  /** Takes care of all that the nodes of a pack refer to. */
  async storeWhatLacks(pack: StoredPack): Promise<void> {
    const { index } = await this.known.addPack(pack, new BlobTable());
    for (let n = 0; n < index.count; n += 1) {
      const { hash, offset, storedLength } = packEntry(index, n);
      await this.storeBelow({ type: 'node', hash, place: { pack: pack.id, offset, length: storedLength } });
    }
  }

  private async storeBelow(ref: Ref): Promise<void> {
    const { kind, refs } = await this.project.reader.node(ref);
    // An operation's parent may be gone, since old history is forgotten.
    const needed = kind === 'operation' ? refs.slice(0, 1) : refs;
    const unknown = needed.filter((each) => !this.upload.has(each) && !this.stored.has(hashKey(each.hash)));
    const places = await this.known.findAll(unknown.map(({ hash }) => hash));
    for (const [index, each] of unknown.entries()) if (!places[index]) await this.storeAgain(each);
  }

  /** Reads it from its old place: condemned objects stay for a grace period. */
  private async storeAgain(ref: Ref): Promise<void> {
    try {
      if (ref.type === 'chunk') {
        const bytes = await this.project.reader.plainChunk(ref);
        await this.upload.data.add([{ hash: ref.hash, bytes }]);
      } else {
        await this.storeBelow(ref);
        await this.upload.nodes.add(await this.project.reader.node(ref));
      }
    } catch (error) {
      if (isPachError(error, 'damaged', 'not-found')) throw new CollectedError(this.project, error);
      throw error;
    }
    this.stored.add(hashKey(ref.hash));
  }
}
