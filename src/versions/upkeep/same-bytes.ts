/**
 * Which files of a project share bytes with given ones: whole files, or single chunks of them.
 */
import type { BlobReader } from '../../cache/blobs.ts';
import { listRange } from '../../model/list.ts';
import { textOfName } from '../../model/paths.ts';
import { addressOf } from '../../model/reference.ts';
import { hashKey } from '../../model/refs.ts';
import { entryHash, entrySize, type TreeEntry } from '../../model/tree.ts';
import { Directories, type Directory } from '../directories.ts';
import { rootOf, type Commit } from '../snapshot.ts';

export interface SamePath {
  readonly repo: string;
  readonly commit: string;
  readonly path: string;
  /** True when all bytes are the same, false when some are. */
  readonly whole: boolean;
}

/** Nobody would read a longer list. */
const foundMax = 10_000;

export class SameBytes {
  private readonly reader: BlobReader;
  private readonly signal: AbortSignal | undefined;
  private readonly directories: Directories;
  /** Content hashes of files, and names of chunks, that are looked for. */
  private readonly files = new Set<string>();
  private readonly chunks = new Set<string>();
  /** Directories, by path and hash, and lists that were searched already, with the result. */
  private readonly seen = new Set<string>();
  private readonly lists = new Map<string, boolean>();
  readonly found: SamePath[] = [];
  /** Addresses of the objects that what is looked for refers to. */
  readonly references = new Set<string>();

  constructor(reader: BlobReader, signal?: AbortSignal) {
    this.reader = reader;
    this.signal = signal;
    this.directories = new Directories(reader);
  }

  /** Looks for the bytes of an entry, and of all below it. */
  async add(entry: TreeEntry): Promise<void> {
    this.signal?.throwIfAborted();
    const key = hashKey(entryHash(entry));
    if (this.files.has(key)) return;
    this.files.add(key);
    const { content } = entry;
    if (content.form === 'reference' && this.references.size < foundMax) this.references.add(addressOf(content.object));
    if (content.form === 'directory') {
      for await (const below of this.directories.reader(content).items()) await this.add(below);
    } else if (entrySize(entry) > 0) for await (const chunk of this.chunksOf(entry)) this.chunks.add(chunk);
  }

  /** Looks through a version, but for what lies at `except`; the same directory at the same path only once. */
  async search(repo: string, commit: Commit, except: readonly Buffer[] | undefined): Promise<void> {
    if (except?.length === 0) return;
    await this.searchBelow({ repo, commit: commit.id }, '', rootOf(commit), except);
  }

  private async searchBelow(
    at: { readonly repo: string; readonly commit: string },
    path: string,
    directory: Directory,
    except: readonly Buffer[] | undefined,
  ): Promise<void> {
    const key = `${at.repo}${path}\0${hashKey(directory.ref.hash)}`;
    if (this.seen.has(key)) return;
    this.seen.add(key);
    for await (const entry of this.directories.reader(directory).items()) {
      this.signal?.throwIfAborted();
      const below = except?.[0]?.equals(entry.name) ? except.slice(1) : undefined;
      if (below?.length === 0 || this.found.length >= foundMax) continue;
      const name = `${path}/${textOfName(entry.name)}`;
      if (entry.content.form === 'directory') await this.searchBelow(at, name, entry.content, below);
      else if (entrySize(entry) > 0) {
        const whole = this.files.has(hashKey(entryHash(entry)));
        if (whole || (await this.shares(entry))) this.found.push({ ...at, path: name, whole });
      }
    }
  }

  private async shares(entry: TreeEntry): Promise<boolean> {
    if (entry.content.form !== 'list') return false;
    const key = hashKey(entry.content.ref.hash);
    let shares = this.lists.get(key);
    if (shares === undefined) {
      shares = false;
      for await (const chunk of this.chunksOf(entry)) shares ||= this.chunks.has(chunk);
      this.lists.set(key, shares);
    }
    return shares;
  }

  private async *chunksOf({ content }: TreeEntry): AsyncGenerator<string> {
    if (content.form === 'chunk') yield hashKey(content.ref.hash);
    if (content.form !== 'list') return;
    for await (const { ref } of listRange(this.reader, content.ref, 0, content.size)) if (ref) yield hashKey(ref.hash);
  }
}
