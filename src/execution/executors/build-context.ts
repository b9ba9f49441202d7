/**
 * What an image is built from: the files of a folder but for those that its .dockerignore names, as
 * a hash that is the same for the same files, and as a tar for a Docker engine.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { PachError } from '../../base/errors.ts';
import { errnoOf } from '../../base/system-errors.ts';
import type { ImageBuild } from '../../pipelines/spec/spec.ts';
import { tarEnd, tarMember, tarPadding, type TarMember } from '../../sources/tar-writer.ts';

/** A folder of data that was named by mistake should not be read for hours. */
const bytesMax = 1024 * 1024 * 1024;
const filesMax = 200_000;

/** What lies in a context, by path; folders end with a slash nowhere. */
interface Entry extends TarMember {
  readonly path: string;
}

export class BuildContext {
  /** 64 hex digits. */
  readonly hash: string;
  private readonly folder: string;
  private readonly entries: readonly Entry[];

  private constructor(folder: string, entries: readonly Entry[], hash: string) {
    this.folder = folder;
    this.entries = entries;
    this.hash = hash;
  }

  /** Reads all of it. Throws `usage`, `not-found`, `denied` or `failed` naming what can't be built from. */
  static async read({ context, dockerfile }: ImageBuild): Promise<BuildContext> {
    const ignored = await contextRules({ context, dockerfile });
    const entries: Entry[] = [];
    let bytes = 0;
    const walk = async (below: string): Promise<void> => {
      const names = await readdir(join(context, below)).catch((error: unknown) => {
        throw unreadable(join(context, below), error);
      });
      for (const name of names.sort()) {
        const path = posix.join(below, name);
        const isLeftOut = ignored.has(path);
        const entry = await entryAt(context, path);
        if (entry?.type === 'directory' && (!isLeftOut || ignored.hasExceptions)) await walk(path);
        if (!entry || isLeftOut) continue;
        entries.push(entry);
        bytes += entry.size;
        if (bytes > bytesMax || entries.length > filesMax) throw tooLarge(context);
      }
    };
    await walk('');
    if (!entries.some(({ path }) => path === dockerfile)) {
      throw new PachError('not-found', { what: join(context, dockerfile), why: 'there is no such file' });
    }
    const hash = createHash('sha256').update(JSON.stringify(dockerfile));
    for (const entry of entries) {
      hash.update(JSON.stringify([entry.path, entry.type, entry.mode, entry.linkPath ?? '', entry.size]));
      if (entry.type === 'file') for await (const piece of fileBytes(context, entry)) hash.update(piece);
    }
    return new BuildContext(context, entries, hash.digest('hex'));
  }

  /** Throws `failed` where a file is not as long any more as it was. */
  async *tar(): AsyncGenerator<Buffer> {
    for (const entry of this.entries) {
      yield tarMember(entry);
      if (entry.type === 'file') yield* fileBytes(this.folder, entry);
      yield tarPadding(entry.size);
    }
    yield tarEnd;
  }
}

/** Undefined for what can be no part of an image: sockets, devices and pipes. */
async function entryAt(context: string, path: string): Promise<Entry | undefined> {
  const full = join(context, path);
  const found = await lstat(full).catch((error: unknown) => {
    throw unreadable(full, error);
  });
  const mode = found.mode & 0o777;
  if (found.isDirectory()) return { path, type: 'directory', mode, size: 0 };
  if (found.isFile()) return { path, type: 'file', mode, size: found.size };
  if (found.isSymbolicLink()) return { path, type: 'link', mode: 0o777, size: 0, linkPath: await readlink(full) };
  return undefined;
}

async function* fileBytes(context: string, { path, size }: Entry): AsyncGenerator<Buffer> {
  if (size === 0) return;
  const full = join(context, path);
  let length = 0;
  try {
    for await (const piece of createReadStream(full, { end: size - 1, highWaterMark: 1024 * 1024 })) {
      length += (piece as Buffer).length;
      yield piece as Buffer;
    }
  } catch (error) {
    throw unreadable(full, error);
  }
  if (length < size) throw new PachError('failed', { what: full, why: 'it was changed while pach read it' });
}

export interface ContextRules {
  /** Whether a path below the context is left out. */
  has(path: string): boolean;
  /** What lies in a folder that is left out may be part of it all the same. */
  readonly hasExceptions: boolean;
}

/** Docker's rules: https://docs.docker.com/build/concepts/context/#dockerignore-files */
export async function contextRules({ context, dockerfile }: ImageBuild): Promise<ContextRules> {
  const files = [`${dockerfile}.dockerignore`, '.dockerignore'];
  let text = '';
  for (const file of files) {
    const found = await readFile(join(context, file), 'utf8').catch((error: unknown) => {
      if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined;
      throw unreadable(join(context, file), error);
    });
    if (found === undefined) continue;
    text = found;
    break;
  }
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const rules = lines.flatMap((line) => {
    if (line === '' || line.startsWith('#')) return [];
    const isException = line.startsWith('!');
    const pattern = posix.normalize(line.slice(isException ? 1 : 0).trim()).replace(/^\/+|\/+$/g, '');
    return pattern === '' || pattern === '.' ? [] : [{ isException, pattern: patternOf(pattern) }];
  });
  // The engine needs these two, whatever the rules say.
  const always = new Set([posix.normalize(dockerfile), ...files]);
  return {
    hasExceptions: rules.some(({ isException }) => isException) || dockerfile.includes('/'),
    has(path) {
      if (always.has(path)) return false;
      const parts = path.split('/');
      const paths = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
      const last = rules.findLast(({ pattern }) => paths.some((each) => pattern.test(each)));
      return last !== undefined && !last.isException;
    },
  };
}

/** Go's filepath.Match, with `**` for any number of folders. */
function patternOf(glob: string): RegExp {
  const token = /\*\*\/?|\*|\?|\[(?:\\.|[^\]\\])+\]|\\.|[^]/g;
  const text = glob.replaceAll(token, (part) => {
    if (part === '**/') return '(?:.*/)?';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    if (part.length > 1 && part.startsWith('[')) return part;
    const char = part.startsWith('\\') && part.length > 1 ? part.slice(1) : part;
    return char.replace(/[$()*+.?[\\\]^{|}/]/, String.raw`\$&`);
  });
  return new RegExp(`^${text}$`, 's');
}

function tooLarge(context: string): PachError {
  return new PachError('usage', {
    what: context,
    why: `what an image is built from has more than ${filesMax} files or ${bytesMax / 1024 ** 3} GiB`,
    next: 'name what the image does not need in .dockerignore',
  });
}

function unreadable(what: string, cause: unknown): unknown {
  const code = errnoOf(cause);
  if (code === 'ENOENT') return new PachError('not-found', { what, why: 'there is no such file or folder', cause });
  if (code === 'EACCES') return new PachError('denied', { what, why: 'you have no permission to read it', cause });
  return code === undefined ? cause : new PachError('failed', { what, why: `it can't be read (${code})`, cause });
}
