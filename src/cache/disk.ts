/**
 * Extents of immutable objects as files of this machine: `<dir>/<object>/<offset>-<length>`.
 * Written whole and renamed, so several processes may share a folder; nothing here is trusted,
 * what is read is verified by whoever decodes it. Oldest objects leave first.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface ExtentRange {
  /** Bytes from the object's start. */
  readonly offset: number;
  readonly length: number;
}

interface CachedObject {
  bytes: number;
  /** Milliseconds since 1970. */
  used: number;
}

export class DiskCache {
  private readonly dir: string;
  private readonly bytesMax: number;
  private objects: Promise<Map<string, CachedObject>> | undefined;
  private evicting: Promise<void> = Promise.resolve();

  constructor(dir: string, bytesMax: number) {
    this.dir = dir;
    this.bytesMax = bytesMax;
  }

  /** The extents of an object that are here. Marks the object as used. */
  async extents(object: string): Promise<ExtentRange[]> {
    const names = await readdir(join(this.dir, object)).catch(() => []);
    if (names.length > 0) await this.touch(object);
    return names.flatMap((name) => {
      const match = /^(\d+)-(\d+)$/.exec(name);
      return match ? [{ offset: Number(match[1]), length: Number(match[2]) }] : [];
    });
  }

  /** The bytes of an extent, or undefined when it is gone or not whole. */
  async read(object: string, range: ExtentRange): Promise<Buffer | undefined> {
    const bytes = await readFile(this.path(object, range)).catch(() => undefined);
    return bytes?.length === range.length ? bytes : undefined;
  }

  /** Keeps an extent. A cache that can't be written is no error: then it is not kept. */
  async write(object: string, range: ExtentRange, bytes: Uint8Array): Promise<boolean> {
    const folder = join(this.dir, object);
    const temporary = join(folder, `.${randomBytes(8).toString('hex')}`);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeFile(temporary, bytes, { mode: 0o600 });
      await rename(temporary, this.path(object, range));
    } catch {
      await rm(temporary, { force: true }).catch(() => undefined);
      return false;
    }
    const known = await this.known();
    const entry = known.get(object) ?? { bytes: 0, used: 0 };
    known.set(object, { bytes: entry.bytes + bytes.length, used: Date.now() });
    this.evicting = this.evicting.then(() => this.evict());
    await this.evicting;
    return true;
  }

  async forget(object: string, range: ExtentRange): Promise<void> {
    await rm(this.path(object, range), { force: true }).catch(() => undefined);
  }

  /** Forgets all objects below a prefix but those that `wanted` takes. */
  async retain(prefix: string, wanted: (object: string) => boolean): Promise<void> {
    const known = await this.known();
    for (const object of known.keys()) {
      if (!object.startsWith(prefix) || wanted(object)) continue;
      await rm(join(this.dir, object), { recursive: true, force: true }).catch(() => undefined);
      known.delete(object);
    }
  }

  /** A number that was kept under a name, or undefined. */
  async note(name: string): Promise<number | undefined> {
    const text = await readFile(join(this.dir, 'notes', name), 'utf8').catch(() => '');
    return /^\d+$/.test(text) ? Number(text) : undefined;
  }

  async setNote(name: string, value: number): Promise<void> {
    const path = join(this.dir, 'notes', name);
    const temporary = `${path}.${randomBytes(8).toString('hex')}`;
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await writeFile(temporary, `${value}`, { mode: 0o600 });
      await rename(temporary, path);
    } catch {
      await rm(temporary, { force: true }).catch(() => undefined);
    }
  }

  private path(object: string, range: ExtentRange): string {
    return join(this.dir, object, `${range.offset}-${range.length}`);
  }

  private async touch(object: string): Promise<void> {
    const now = new Date();
    await utimes(join(this.dir, object), now, now).catch(() => undefined);
    const entry = (await this.known()).get(object);
    if (entry) entry.used = now.getTime();
  }

  private known(): Promise<Map<string, CachedObject>> {
    this.objects ??= scan(this.dir);
    return this.objects;
  }

  private async evict(): Promise<void> {
    const known = await this.known();
    let total = 0;
    for (const { bytes } of known.values()) total += bytes;
    if (total <= this.bytesMax) return;
    const oldest = [...known].sort(([, a], [, b]) => a.used - b.used);
    for (const [object, { bytes }] of oldest) {
      if (total <= this.bytesMax * 0.9) break;
      await rm(join(this.dir, object), { recursive: true, force: true }).catch(() => undefined);
      known.delete(object);
      total -= bytes;
    }
  }
}

/** Every object below a cache folder; objects are the folders that hold extents. */
async function scan(dir: string): Promise<Map<string, CachedObject>> {
  const found = new Map<string, CachedObject>();
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const length = /^\d+-(\d+)$/.exec(entry.name)?.[1];
    if (!entry.isFile() || length === undefined) continue;
    const object = entry.parentPath.slice(dir.length + 1);
    const known = found.get(object);
    if (known) known.bytes += Number(length);
    else {
      const used = await stat(entry.parentPath).then(
        (info) => info.mtimeMs,
        () => 0,
      );
      found.set(object, { bytes: Number(length), used });
    }
  }
  return found;
}
