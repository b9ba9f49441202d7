/**
 * The part of a datum's key that describes its inputs as the command sees them. Commits, repos and
 * branches are not in it, so that results are found again from other branches.
 */
import { Writer } from '../../model/bytes.ts';
import { hashOf } from '../../model/canonical.ts';
import type { NodeSource } from '../../model/node.ts';
import { entryHash, type TreeEntry } from '../../model/tree.ts';
import { Directories, type Directory } from '../../versions/directories.ts';
import type { Datum, DatumFile } from './datum.ts';

/** A file or directory as the command sees it. Fields without a value are undefined, and so in no JSON. */
export interface DocumentFile {
  /** Of the input. */
  readonly name: string;
  /** See `textOfName`. */
  readonly path: string;
  readonly kind: TreeEntry['kind'];
  readonly executable: boolean;
  /** Hex: the content hash; where files are shown empty that of names and kinds; none of a reference. */
  readonly content?: string | undefined;
  /** How the content is read, where it is not as it lies there. */
  readonly reading?: 'empty' | 'reference' | 'empty reference' | undefined;
  readonly joinOn?: string | undefined;
  readonly groupBy?: string | undefined;
}

export interface InputDocument {
  /** Sorted by names and paths. */
  readonly files: readonly DocumentFile[];
}

/**
 * Equal (also as JSON) for datums whose inputs a command can't tell apart. Only directories of inputs
 * that are shown empty have to be read for it. Throws `damaged`.
 */
export async function inputDocument(nodes: NodeSource, datum: Datum): Promise<InputDocument> {
  const directories = new Directories(nodes);
  const files: DocumentFile[] = [];
  for (const file of datum.files) files.push(await describe(directories, file));
  return { files: files.toSorted((a, b) => order(a.name, b.name) || order(a.path, b.path)) };
}

async function describe(directories: Directories, file: DatumFile): Promise<DocumentFile> {
  const { input, path, entry, joinOn, groupBy } = file;
  const { kind, executable } = entry;
  const modes = [...(input.emptyFiles ? ['empty'] : []), ...(input.reference ? ['reference'] : [])];
  return {
    name: input.name,
    path,
    kind,
    executable,
    content: input.reference ? undefined : await contentOf(directories, entry, input.emptyFiles),
    reading: modes.length > 0 ? (modes.join(' ') as DocumentFile['reading']) : undefined,
    joinOn,
    groupBy,
  };
}

async function contentOf(directories: Directories, entry: TreeEntry, empty: boolean): Promise<string | undefined> {
  if (!empty || entry.kind === 'symlink') return entryHash(entry).toString('hex');
  if (entry.content.form !== 'directory') return undefined;
  return (await structureHash(directories, entry.content)).toString('hex');
}

/** Of all names below a directory, their kinds, and where symlinks lead. */
async function structureHash(directories: Directories, directory: Directory): Promise<Buffer> {
  let hash: Buffer = Buffer.alloc(0);
  for await (const entry of directories.reader(directory).items()) {
    const writer = new Writer();
    writer.bytes(hash);
    writer.bytes(entry.name);
    writer.str(`${entry.kind} ${entry.executable}`);
    if (entry.content.form === 'directory') writer.raw(await structureHash(directories, entry.content));
    else if (entry.kind === 'symlink') writer.raw(entryHash(entry));
    hash = hashOf(writer.finish());
  }
  return hash;
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
