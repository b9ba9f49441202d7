/**
 * Objects that are named by a hash of their bytes, in the folders and buckets where they may lie.
 * What is given was verified when its last byte has come: until then nobody may rely on it.
 */
import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isPachError, PachError } from '../base/errors.ts';
import { errnoOf } from '../base/system-errors.ts';

export interface ObjectName {
  readonly algorithm: 'md5' | 'sha256';
  /** In hex. */
  readonly hash: string;
  /** What the file of the object is named beside the hash. */
  readonly suffix?: '.dir';
  /** The hash may also be that of the bytes with the ends of lines of Unix, as DVC before version 3 computed it. */
  readonly textToo?: boolean;
}

/** Where objects lie, by their file names: hash and suffix. */
export interface ObjectPlace {
  /** As people know it. */
  readonly shown: string;
  /** Undefined when the object is not there. */
  open(file: string, signal: AbortSignal | undefined): Promise<AsyncIterable<Uint8Array> | undefined>;
  has(file: string, signal: AbortSignal | undefined): Promise<boolean>;
  /** Lets go of connections. */
  close?(): void;
}

/** An object that can't be had, or not from where it was looked for. */
export class LostError extends Error {
  /** True when it may still lie somewhere else. */
  readonly isElsewhere: boolean;

  constructor(why: string, isElsewhere: boolean, cause?: unknown) {
    super(why, { cause });
    this.isElsewhere = isElsewhere;
  }
}

const pieceBytes = 1024 * 1024;

/** Its scope is that of the connections to its places. */
export class Objects implements Disposable {
  private readonly places: readonly ObjectPlace[];
  /** What was wrong with an object at a place: that place is not asked for it again. */
  private readonly wrong = new Map<string, string>();

  constructor(places: readonly ObjectPlace[]) {
    this.places = places;
  }

  /** The bytes of an object. Throws `LostError`, at the end too, where they are not what the name says. */
  async *open(name: ObjectName, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    for (const place of this.places) {
      const key = `${place.shown}\0${fileOf(name)}`;
      if (this.wrong.has(key)) continue;
      const fail = (why: string, cause?: unknown): LostError => {
        this.wrong.set(key, `${place.shown}: ${why}`);
        return new LostError(why, true, cause);
      };
      try {
        const bytes = await place.open(fileOf(name), signal);
        if (!bytes) continue;
        const check = new Check(name);
        for await (const piece of bytes) {
          check.update(piece);
          yield piece;
        }
        const problem = check.problem();
        if (problem !== undefined) throw fail(problem);
        return;
      } catch (error) {
        const why = error instanceof LostError ? undefined : reasonOf(error);
        throw why === undefined ? error : fail(why, error);
      }
    }
    throw new LostError(this.why(name), false);
  }

  /** The bytes of an object of at most so many. Throws `LostError`. */
  async read(name: ObjectName, bytesMax: number, signal?: AbortSignal): Promise<Buffer> {
    for (;;) {
      try {
        const parts: Uint8Array[] = [];
        let length = 0;
        for await (const bytes of this.open(name, signal)) {
          parts.push(bytes);
          length += bytes.length;
          if (length > bytesMax) throw new LostError(`it has more than ${bytesMax} bytes`, false);
        }
        return Buffer.concat(parts);
      } catch (error) {
        if (!(error instanceof LostError) || !error.isElsewhere) throw error;
      }
    }
  }

  /** Why there is no object of that name; undefined where there is one. Its bytes are not looked at. */
  async lacks(name: ObjectName, signal?: AbortSignal): Promise<string | undefined> {
    for (const place of this.places) {
      try {
        if (await place.has(fileOf(name), signal)) return undefined;
      } catch (error) {
        const why = reasonOf(error);
        if (why === undefined) throw error;
        this.wrong.set(`${place.shown}\0${fileOf(name)}`, `${place.shown}: ${why}`);
      }
    }
    return this.why(name);
  }

  [Symbol.dispose](): void {
    for (const place of this.places) place.close?.();
  }

  private why(name: ObjectName): string {
    const told = this.places.map(({ shown }) => this.wrong.get(`${shown}\0${fileOf(name)}`));
    const found = told.filter((why) => why !== undefined);
    return found.length > 0 ? found.join('; ') : `it is not in ${this.places.map(({ shown }) => shown).join(', ')}`;
  }
}

function fileOf({ hash, suffix }: ObjectName): string {
  return hash + (suffix ?? '');
}

/** A folder of this machine; `layouts` give the path of an object's file below it, the likeliest first. */
export function folderPlace(folder: string, layouts: readonly ((file: string) => string)[]): ObjectPlace {
  const found = async (file: string): Promise<string | undefined> => {
    for (const layout of layouts) {
      const path = join(folder, layout(file));
      if (await stat(path).catch(unlessAbsent)) return path;
    }
    return undefined;
  };
  return {
    shown: folder,
    async open(file) {
      const path = await found(file);
      return path === undefined ? undefined : bytesOf(path);
    },
    has: async (file) => (await found(file)) !== undefined,
  };
}

async function* bytesOf(path: string): AsyncGenerator<Buffer> {
  // A FIFO would keep the thread that opens it.
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const found = await file.stat();
  if (!found.isFile()) throw new PachError('failed', { what: path, why: 'it is not a file' });
  for (let left = found.size; ;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(pieceBytes, left + 1)));
    if (bytesRead === 0) return;
    left = Math.max(0, left - bytesRead);
    yield buffer.subarray(0, bytesRead);
  }
}

function unlessAbsent(error: unknown): undefined {
  const code = errnoOf(error);
  if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
}

/** Why an object can't be read; undefined for what is no fault of the object's. */
function reasonOf(error: unknown): string | undefined {
  if (isPachError(error)) return ['interrupted', 'unreachable'].includes(error.code) ? undefined : error.why;
  const code = errnoOf(error);
  switch (code) {
    case undefined:
    case 'EMFILE':
    case 'ENFILE':
    case 'ABORT_ERR':
      return undefined;
    case 'EACCES':
    case 'EPERM':
      return 'you have no permission to read it';
    default:
      return `it can't be read (${code})`;
  }
}

class Check {
  private readonly name: ObjectName;
  private readonly plain: Hash;
  private readonly asText: Hash | undefined;
  private pending = Buffer.alloc(0);

  constructor(name: ObjectName) {
    this.name = name;
    this.plain = createHash(name.algorithm);
    this.asText = name.textToo ? createHash(name.algorithm) : undefined;
  }

  update(bytes: Uint8Array): void {
    this.plain.update(bytes);
    if (!this.asText) return;
    // DVC replaced the ends of lines piece by piece.
    this.pending = this.pending.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.pending, bytes]);
    for (; this.pending.length >= pieceBytes; this.pending = this.pending.subarray(pieceBytes)) {
      this.asText.update(withoutReturns(this.pending.subarray(0, pieceBytes)));
    }
  }

  /** What is wrong with the bytes, once they have come. */
  problem(): string | undefined {
    const { algorithm, hash } = this.name;
    const actual = this.plain.digest('hex');
    if (actual === hash || this.asText?.update(withoutReturns(this.pending)).digest('hex') === hash) return undefined;
    return `it is damaged: the ${algorithm.toUpperCase()} of its bytes is ${actual}`;
  }
}

function withoutReturns(bytes: Buffer): Buffer {
  if (!bytes.includes('\r\n')) return bytes;
  return Buffer.from(bytes.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
}
