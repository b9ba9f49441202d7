/**
 * Directories (FORMAT.md section 5, kind 2): names with kinds, times and content, and totals of
 * all below, so that what a directory holds is known without reading it.
 */
import { assert } from '../base/errors.ts';
import type { FileTime } from '../base/file-time.ts';
import { native } from '../base/native.ts';
import { addTotals, Writer, type Reader } from './bytes.ts';
import type { Inner, OrderedFormat, Summary, TakeRef } from './ordered-format.ts';
import { readReference, writeReference, type ReferenceContent } from './reference.ts';
import { chunkBytesMax, inlineBytesMax, nameBytesMax, type Hash, type Ref } from './refs.ts';

/** Bytes of a file or of a symlink's target. Sizes in bytes. */
export type FileContent = StoredContent | ReferenceContent;

/** Bytes that are in the store. */
export type StoredContent =
  | { readonly form: 'inline'; readonly bytes: Buffer }
  | { readonly form: 'chunk'; readonly size: number; readonly ref: Ref }
  | { readonly form: 'list'; readonly size: number; readonly ref: Ref };

/** A directory's tree and totals of all below it: files (and symlinks), bytes. */
export interface DirectoryContent {
  readonly form: 'directory';
  readonly contentHash: Hash;
  readonly files: number;
  readonly bytes: number;
  readonly ref: Ref;
}

export interface TreeEntry extends FileTime {
  /** 1 to 255 bytes, see `nameProblem`. */
  readonly name: Buffer;
  readonly kind: 'file' | 'directory' | 'symlink';
  /** Only files are. */
  readonly executable: boolean;
  /** A directory's for directories, a file's for the others. */
  readonly content: FileContent | DirectoryContent;
}

/** The noun for an entry of this kind in messages. */
export function nounOf(kind: TreeEntry['kind']): string {
  return kind === 'directory' ? 'folder' : kind;
}

export interface TreeSummary extends Summary {
  readonly contentHash: Hash;
  readonly files: number;
  readonly bytes: number;
}

const kinds = ['file', 'directory', 'symlink'] as const;
const forms = ['inline', 'chunk', 'list', 'directory', 'reference'] as const;
const executableBit = 4;
const formShift = 3;
/** Kind and executable bit: what of a form is content. */
const contentBits = 7;
const hashBytes = 32;
const slash = 0x2f;
const dot = 0x2e;

/** Why bytes can't be the name of an entry, or undefined. */
export function nameProblem(name: Buffer): string | undefined {
  if (name.length === 0) return 'it is empty';
  if (name.length > nameBytesMax) return `it is longer than ${nameBytesMax} bytes`;
  if (name[0] === dot && (name.length === 1 || (name.length === 2 && name[1] === dot))) {
    return `${name.toString()} has a meaning of its own`;
  }
  if (name.includes(slash)) return 'there is a / in it';
  if (name.includes(0)) return 'there is a NUL byte in it';
  return undefined;
}

/** The content of an entry that is a directory. */
export function directoryOf(entry: TreeEntry | undefined): DirectoryContent | undefined {
  return entry?.content.form === 'directory' ? entry.content : undefined;
}

/** The content of a file or symlink. The caller knows that it is one. */
export function fileContentOf({ content }: TreeEntry): FileContent {
  assert(content.form !== 'directory', 'a directory has no bytes');
  return content;
}

/** Bytes of a file, of a symlink's target, or of all that is in a directory. */
export function entrySize({ content }: Pick<TreeEntry, 'content'>): number {
  switch (content.form) {
    case 'inline':
      return content.bytes.length;
    case 'directory':
      return content.bytes;
    case 'chunk':
    case 'list':
    case 'reference':
      return content.size;
  }
}

/** The content hash: equal for equal content, whatever the times are. */
export function entryHash({ content }: Pick<TreeEntry, 'content'>): Hash {
  switch (content.form) {
    case 'inline':
      return native().hash('plain', content.bytes) as Hash;
    case 'directory':
      return content.contentHash;
    case 'reference':
      return content.hash;
    case 'chunk':
    case 'list':
      return content.ref.hash;
  }
}

function formOf({ kind, executable, content }: TreeEntry): number {
  return kinds.indexOf(kind) + (executable ? executableBit : 0) + (forms.indexOf(content.form) << formShift);
}

export const treeFormat: OrderedFormat<TreeEntry, TreeSummary> = {
  kind: 'tree',
  min: 128,
  avg: 512,
  max: 2048,
  keyBytesMax: nameBytesMax,
  keyOf: (entry) => entry.name,
  keyProblem: nameProblem,

  writeItem(writer, entry, refs) {
    const { kind, executable, content, mtimeSeconds, mtimeNanoseconds } = entry;
    assert((kind === 'directory') === (content.form === 'directory'), 'an entry has the content of its kind');
    assert(!executable || kind === 'file', 'only files are executable');
    assert(mtimeNanoseconds >= 0 && mtimeNanoseconds < 1e9, 'nanoseconds are less than a second');
    writer.u8(formOf(entry));
    writer.zigzag(mtimeSeconds);
    writer.varint(mtimeNanoseconds);
    switch (content.form) {
      case 'inline':
        assert(content.bytes.length <= inlineBytesMax, 'inline content is short');
        writer.bytes(content.bytes);
        return;
      case 'reference':
        assert(kind === 'file', 'only files are references');
        writeReference(writer, content);
        return;
      case 'directory':
        writer.raw(content.contentHash);
        writer.varint(content.files);
        writer.varint(content.bytes);
        break;
      case 'chunk':
      case 'list':
        assert(content.size > inlineBytesMax, 'short content is inline');
        writer.varint(content.size);
    }
    refs.push(content.ref);
  },

  readItem(reader: Reader, name, takeRef) {
    const form = reader.u8();
    const kind = kinds[form & 3];
    const contentForm = forms[form >> formShift];
    const executable = (form & executableBit) !== 0;
    if (!kind || !contentForm || (executable && kind !== 'file')) reader.fail('an entry has an unknown form');
    const fits =
      contentForm === 'reference' ? kind === 'file' : (kind === 'directory') === (contentForm === 'directory');
    if (!fits) {
      reader.fail(`a ${kind} has content of the form ${contentForm}`);
    }
    const mtimeSeconds = reader.zigzag();
    const mtimeNanoseconds = reader.varint();
    if (mtimeNanoseconds >= 1e9) reader.fail('an entry has more nanoseconds than a second');
    const content = readContent(reader, contentForm, takeRef);
    return { name, kind, executable, mtimeSeconds, mtimeNanoseconds, content };
  },

  writeSummary(writer, { contentHash, entries, files, bytes }) {
    writer.raw(contentHash);
    writer.varint(entries);
    writer.varint(files);
    writer.varint(bytes);
  },

  readSummary(reader) {
    const contentHash = reader.raw(hashBytes) as Hash;
    return { contentHash, entries: reader.varint(), files: reader.varint(), bytes: reader.varint() };
  },

  summarizeItems(items) {
    const hashed = new Writer(items.length * 64);
    hashed.u8(0);
    let files = 0;
    let bytes = 0;
    for (const entry of items) {
      hashed.bytes(entry.name);
      hashed.u8(formOf(entry) & contentBits);
      hashed.raw(entryHash(entry));
      files = addTotals('directory', files, entry.content.form === 'directory' ? entry.content.files : 1);
      bytes = addTotals('directory', bytes, entrySize(entry));
    }
    return { contentHash: contentHashOf(hashed), entries: items.length, files, bytes };
  },

  summarizeNodes(level, nodes: readonly Inner<TreeSummary>[]) {
    const hashed = new Writer(nodes.length * 64);
    hashed.u8(level);
    let [entries, files, bytes] = [0, 0, 0];
    for (const { key, summary } of nodes) {
      hashed.bytes(key);
      hashed.raw(summary.contentHash);
      entries = addTotals('directory', entries, summary.entries);
      files = addTotals('directory', files, summary.files);
      bytes = addTotals('directory', bytes, summary.bytes);
    }
    return { contentHash: contentHashOf(hashed), entries, files, bytes };
  },
};

function readContent(reader: Reader, form: (typeof forms)[number], takeRef: TakeRef): FileContent | DirectoryContent {
  if (form === 'inline') return { form, bytes: reader.bytes(inlineBytesMax) };
  if (form === 'reference') return readReference(reader);
  if (form === 'directory') {
    const contentHash = reader.raw(hashBytes) as Hash;
    return { form, contentHash, files: reader.varint(), bytes: reader.varint(), ref: takeRef('node') };
  }
  const size = reader.varint();
  if (size <= inlineBytesMax || (form === 'chunk' && size > chunkBytesMax)) {
    reader.fail(`content of ${size} bytes is no ${form}`);
  }
  return { form, size, ref: takeRef(form === 'chunk' ? 'chunk' : 'node') };
}

function contentHashOf(hashed: Writer): Hash {
  return native().hash('content', hashed.finish()) as Hash;
}
