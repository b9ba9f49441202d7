/**
 * Files of a version, and what differs between two versions, as programs are shown them.
 */
import { addressOf, type OutsideObject } from '../model/reference.ts';
import { textOfName } from '../model/paths.ts';
import { entryHash, entrySize, type TreeEntry } from '../model/tree.ts';
import type { File, FileBytes, FileChange } from '../versions/reading/files.ts';

export interface FileInfo {
  readonly path: string;
  readonly kind: 'file' | 'dir' | 'symlink';
  readonly bytes: number;
  readonly hash: string;
  readonly modified: string;
  readonly executable: boolean;
  /** What a symlink leads to. */
  readonly target?: string;
  /** Where the bytes of a file lie that is put by reference. */
  readonly reference?: ReferenceInfo;
}

/** An object in one version: by its id, or by its ETag where the bucket keeps no versions. */
export interface ReferenceInfo {
  readonly url: string;
  readonly version?: string;
  readonly etag?: string;
}

export const fileJson =
  '{path, kind: "file"|"dir"|"symlink", bytes, hash, modified, executable, target?, reference?: {url, version?|etag?}} a line';

/** `files` reads the target of a symlink. */
export async function fileInfo(files: FileBytes, { path, entry }: File): Promise<FileInfo> {
  const kind = entry.kind === 'directory' ? 'dir' : entry.kind;
  const info: FileInfo = {
    path,
    kind,
    bytes: entrySize(entry),
    hash: entryHash(entry).toString('hex'),
    modified: modifiedOf(entry),
    executable: entry.executable,
  };
  if (entry.content.form === 'reference') return { ...info, reference: referenceInfo(entry.content.object) };
  if (kind !== 'symlink') return info;
  const parts: Buffer[] = [];
  for await (const bytes of files.read(entry)) parts.push(bytes);
  return { ...info, target: textOfName(Buffer.concat(parts)) };
}

function referenceInfo(object: OutsideObject): ReferenceInfo {
  const { by, id } = object.version;
  return { url: addressOf(object), ...(by === 'etag' ? { etag: id } : { version: id }) };
}

export interface ChangeInfo {
  readonly path: string;
  readonly change: FileChange['change'];
  /** Null where there is none. */
  readonly old: FileInfo | null;
  readonly new: FileInfo | null;
}

export const changeJson =
  '{path, change: "added"|"removed"|"changed", old, new} a line; old and new as in list file, null where there is none';

export async function changeInfo(files: FileBytes, { path, change, old, new: now }: FileChange): Promise<ChangeInfo> {
  return {
    path,
    change,
    old: old ? await fileInfo(files, { path, entry: old }) : null,
    new: now ? await fileInfo(files, { path, entry: now }) : null,
  };
}

/** RFC 3339, with as many digits as the time has. */
function modifiedOf({ mtimeSeconds, mtimeNanoseconds }: TreeEntry): string {
  const seconds = new Date(mtimeSeconds * 1000);
  if (Number.isNaN(seconds.getTime())) return new Date(0).toISOString();
  const digits = String(mtimeNanoseconds).padStart(9, '0').replace(/0+$/, '');
  return seconds.toISOString().replace('.000Z', digits ? `.${digits}Z` : 'Z');
}
