/**
 * What a command left in /pfs/out, stored. Links are never followed: one into the datum's input
 * becomes what it leads to, by reference; any other stays a link.
 */
import { posix } from 'node:path';
import { PachError } from '../../base/errors.ts';
import { rootPlace } from '../../base/place.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { nameOfText, textOfName } from '../../model/paths.ts';
import type { Ref } from '../../model/refs.ts';
import type { TreeEntry } from '../../model/tree.ts';
import { storeStream } from '../../versions/content.ts';
import { Directories, type Directory } from '../../versions/directories.ts';
import { ingestFolder } from '../../versions/ingest.ts';
import type { Upload } from '../../versions/upload.ts';
import type { Datum } from '../datum.ts';
import { bytesOf } from '../jobs/jobs.ts';

export interface TakeOutOptions {
  readonly reader: BlobReader;
  readonly upload: Upload;
  readonly datum: Datum;
  /** The folder that the command saw as /pfs/out. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** A path may be longer than what anybody wants to read. */
const pathShownMax = 300;

/** As many links in a row as the kernel follows. */
const linksMax = 40;

/** Throws PachError naming what can't be stored, as the command knows it. */
export async function takeOut(options: TakeOutOptions): Promise<Directory> {
  const { reader, upload, folder, signal } = options;
  const directories = new Directories(reader, upload.nodes);
  try {
    return await ingestFolder(
      {
        sink: { data: upload.data, nodes: upload.nodes },
        directories,
        progress: () => undefined,
        skipped(path, why) {
          throw new PachError('failed', { what: path, why });
        },
        resolveLink: (path, target) => {
          const shown = `/pfs/out/${textOfName(path)}`;
          return linked({ options, directories }, shown, textOfName(target));
        },
        signal,
      },
      rootPlace(Buffer.from(folder)),
      undefined,
    );
  } catch (error) {
    if (!(error instanceof PachError)) throw error;
    const { code, why, cause } = error;
    const path = error.what.replace(folder, '/pfs/out');
    const what = path.length > pathShownMax ? `${path.slice(0, pathShownMax)}…` : path;
    throw new PachError(code, { what, why, cause });
  }
}

/** What a link leads to, when that is in the datum's input; there links are followed. `path`: where it lies, as the command knows it. */
async function linked(
  { options, directories }: { readonly options: TakeOutOptions; readonly directories: Directories },
  path: string,
  target: string,
  left = linksMax,
): Promise<TreeEntry | undefined> {
  const place = posix.resolve(posix.dirname(path), target);
  const found = await inInput(options.datum, directories, place);
  if (found?.kind !== 'symlink' || left === 0) return found;
  const next = textOfName(await bytesOf(options.reader, found));
  return (await linked({ options, directories }, place, next, left - 1)) ?? found;
}

async function inInput({ files }: Datum, directories: Directories, place: string): Promise<TreeEntry | undefined> {
  const [, root, name, ...rest] = place.split('/');
  if (root !== 'pfs' || name === undefined || name === 'out') return undefined;
  const wanted = `/${rest.join('/')}`;
  for (const { input, path: at, entry } of files) {
    if (input.name !== name) continue;
    if (wanted === at) return entry;
    const below = at === '/' ? wanted : wanted.startsWith(`${at}/`) ? wanted.slice(at.length) : undefined;
    if (below === undefined || entry.content.form !== 'directory') continue;
    const found = await directories.find(entry.content, below.split('/').slice(1).map(nameOfText));
    if (found) return found;
  }
  return undefined;
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
