/**
 * What a command left in /pfs/out, stored. Links are never followed: one into the datum's input
 * becomes what it leads to, by reference; any other stays a link, one within /pfs/out a relative one.
 */
import { PachError } from '../base/errors.ts';
import { rootPlace } from '../base/place.ts';
import type { BlobReader } from '../cache/blobs.ts';
import { nameOfText, textOfName } from '../model/paths.ts';
import type { OutsideLinks } from '../model/records/pipelines.ts';
import type { Ref } from '../model/refs.ts';
import type { TreeEntry } from '../model/tree.ts';
import { storeStream, type ContentSink } from '../versions/content.ts';
import { Directories, type Directory } from '../versions/directories.ts';
import { hasReferences } from '../versions/reading/references.ts';
import { ingestFolder } from '../versions/writing/ingest.ts';
import type { Upload } from '../versions/upload.ts';
import type { Datum } from '../pipelines/datums/datum.ts';
import { follow } from './links.ts';

export interface TakeOutOptions {
  readonly reader: BlobReader;
  /** Where what is found goes. */
  readonly sink: ContentSink;
  readonly datum: Datum;
  /** The folder that the command saw as /pfs/out. */
  readonly folder: string;
  /** True when what the datum reads may have references. */
  readonly mayRefer?: boolean | undefined;
  readonly signal: AbortSignal;
}

/** A path may be longer than what anybody wants to read. */
const pathShownMax = 300;

/** What was taken in. */
export interface Output {
  readonly directory: Directory;
  /** Links that lead out of /pfs. */
  readonly outside: OutsideLinks | undefined;
  /** False when no folder in it is empty. */
  readonly mayHaveEmptyFolders: boolean;
  /** True when a link led to references; else undefined. */
  readonly references: true | undefined;
}

/** Throws PachError naming what can't be stored, as the command knows it. */
export async function takeOut(options: TakeOutOptions): Promise<Output> {
  const { reader, sink, datum, folder, mayRefer, signal } = options;
  const directories = new Directories(reader, sink.nodes);
  let outside: OutsideLinks | undefined;
  let mayHaveEmptyFolders = false;
  let references: true | undefined;
  try {
    const directory = await ingestFolder(
      {
        sink,
        directories,
        progress: () => undefined,
        skipped(path, why) {
          throw new PachError('failed', { what: path, why });
        },
        emptyFolder: () => (mayHaveEmptyFolders = true),
        async resolveLink(path, target) {
          const [from, to] = [`/pfs/out/${textOfName(path)}`, textOfName(target)];
          const { stored, isOutside } = await follow({ reader, directories, datum }, from, to);
          if (isOutside)
            outside = { links: (outside?.links ?? 0) + 1, one: outside?.one ?? shortened(`${from} -> ${to}`) };
          if (typeof stored === 'string') return nameOfText(stored);
          if (stored?.kind === 'directory') mayHaveEmptyFolders = true;
          if (stored && mayRefer && !references && (await hasReferences(directories, stored))) references = true;
          return stored;
        },
        signal,
      },
      rootPlace(Buffer.from(folder)),
      undefined,
    );
    return { directory, outside, mayHaveEmptyFolders, references };
  } catch (error) {
    if (!(error instanceof PachError)) throw error;
    const { code, why, cause } = error;
    throw new PachError(code, { what: shortened(error.what.replace(folder, '/pfs/out')), why, cause });
  }
}

function shortened(path: string): string {
  return path.length > pathShownMax ? `${path.slice(0, pathShownMax)}…` : path;
}

export interface ResultParts {
  readonly out: Directory | undefined;
  readonly log: Buffer;
  /** Encoded, where the datum has many. */
  readonly files: Buffer | undefined;
}

/** The tree of a result. It has no times: equal results are equal trees. */
export async function storeResult(reader: BlobReader, upload: Upload, parts: ResultParts): Promise<Ref> {
  const sink = { data: upload.data, nodes: upload.nodes };
  const entry = (name: string, kind: TreeEntry['kind'], content: TreeEntry['content']): TreeEntry => {
    return { name: nameOfText(name), kind, executable: false, mtimeSeconds: 0, mtimeNanoseconds: 0, content };
  };
  const fileOf = async (name: string, bytes: Buffer): Promise<TreeEntry> => {
    return entry(name, 'file', await storeStream(sink, one(bytes)));
  };
  const entries: TreeEntry[] = [];
  if (parts.files) entries.push(await fileOf('files', parts.files));
  if (parts.log.length > 0) entries.push(await fileOf('log', parts.log));
  if (parts.out) entries.push(entry('out', 'directory', parts.out));
  return (await new Directories(reader, upload.nodes).apply(undefined, entries)).ref;
}

async function* one(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
