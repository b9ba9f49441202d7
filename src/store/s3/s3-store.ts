/**
 * A store in a bucket of S3, MinIO, Ceph or another server of that protocol. Each call is a single
 * try. No answer is `unreachable`, and the decorators of open.ts decide what follows.
 *
 * Loads the SDK, which takes its time: import this file only where a bucket is used.
 */
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { Deadline } from '../../base/deadline.ts';
import { assert, PachError } from '../../base/errors.ts';
import { checkKey, checkPrefix, isListed, smallObjectBytesMax } from '../keys.ts';
import { S3Session } from './client.ts';
import { fromS3, statusOf } from './errors.ts';
import { Pages } from './pages.ts';
import { parseS3Url, s3UrlOf, type S3Place } from './url.ts';
import type { DirectSource, ObjectInfo, Store, Token, Versioned } from '../store.ts';

/** Larger bodies are sent from where they lie instead of being copied together and signed. */
const streamedBytesMin = 256 * 1024;
const signedSeconds = 3600;
/** A page of a listing has 1,000 names, and may come slowly. */
const pageMs = 60_000;

interface Answer {
  readonly bytes: Buffer;
  readonly etag: string | undefined;
  /** Where the bytes begin, and the size of the whole object. */
  readonly start: number;
  readonly size: number;
}

/**
 * Asks nothing of the server yet. Throws `usage` for a wrong address. With `singleWriter` it sends
 * no conditions, for servers that know none: it looks what is there and then writes. What a second
 * writer stores between these two requests is lost.
 */
export async function openS3(url: string, { singleWriter = false } = {}): Promise<Store> {
  const place = parseS3Url(url);
  return new S3Store(place, await S3Session.open(place), singleWriter);
}

/** What of an object is asked for. */
interface Wanted {
  /** All of it without. */
  readonly range?: string;
  /** Nothing, if this is its present version. */
  readonly unless?: Token;
  readonly bytesMax: number;
}

class S3Store implements Store {
  readonly url: string;
  readonly isLocal = false;
  private readonly place: S3Place;
  private readonly session: S3Session;
  private readonly singleWriter: boolean;

  constructor(place: S3Place, session: S3Session, singleWriter: boolean) {
    this.url = s3UrlOf(place);
    this.place = place;
    this.session = session;
    this.singleWriter = singleWriter;
  }

  async read(key: string, offset: number, length: number, deadline?: Deadline): Promise<Uint8Array> {
    assert(offset >= 0 && length >= 0, 'a range of an object');
    // HTTP has no empty range, and an absent key must be noticed: so a byte is asked for.
    const asked = length === 0 ? 'bytes=0-0' : `bytes=${offset}-${offset + length - 1}`;
    const answer = await this.get(key, { range: asked, bytesMax: Math.max(1, length) }, deadline);
    if (!answer || length === 0) return Buffer.alloc(0);
    if (answer.start !== offset) throw this.cut(key, `it sent bytes from ${answer.start}, not from ${offset}`);
    const wanted = Math.min(length, answer.size - offset);
    if (answer.bytes.length !== wanted) throw this.cut(key, `it sent ${answer.bytes.length} of ${wanted} bytes`);
    return answer.bytes;
  }

  async readTail(key: string, length: number, deadline?: Deadline): Promise<{ bytes: Uint8Array; size: number }> {
    assert(length >= 0, 'a range of an object');
    const bytesMax = Math.max(1, length);
    const answer = await this.get(key, { range: `bytes=-${bytesMax}`, bytesMax }, deadline);
    // The one object without a last byte is the empty one.
    if (!answer) return { bytes: Buffer.alloc(0), size: 0 };
    const { bytes, start, size } = answer;
    if (start + bytes.length !== size || bytes.length < Math.min(size, length)) {
      throw this.cut(key, `it sent ${bytes.length} bytes from ${start} of ${size}, not the last ${length}`);
    }
    return { bytes: length === 0 ? Buffer.alloc(0) : bytes, size };
  }

  async readWithToken(key: string, deadline?: Deadline): Promise<Versioned | undefined> {
    const found = await this.getWhole(key, undefined, deadline);
    assert(found !== 'unchanged', 'a request without a condition has an answer');
    return found;
  }

  async readIfChanged(
    key: string,
    token: Token | undefined,
    deadline?: Deadline,
  ): Promise<Versioned | 'unchanged' | undefined> {
    const found = await this.getWhole(key, token, deadline);
    // A server, or what stands before it, may take no notice of the condition.
    return found && found !== 'unchanged' && found.token === token ? 'unchanged' : found;
  }

  private async getWhole(
    key: string,
    unless: Token | undefined,
    deadline: Deadline | undefined,
  ): Promise<Versioned | 'unchanged' | undefined> {
    try {
      const condition = unless === undefined ? {} : { unless };
      const answer = await this.get(key, { ...condition, bytesMax: smallObjectBytesMax }, deadline);
      return answer ? { bytes: answer.bytes, token: this.tokenOf(answer.etag, key) } : 'unchanged';
    } catch (error) {
      // An absent bucket is an error; an absent key is not.
      if (error instanceof PachError && error.code === 'not-found' && !isNoSuchBucket(error)) return undefined;
      throw error;
    }
  }

  async writeIfAbsent(key: string, parts: readonly Uint8Array[], signal?: AbortSignal): Promise<boolean> {
    return (await this.put(key, parts, undefined, signal)) !== undefined;
  }

  async writeIfUnchanged(key: string, bytes: Uint8Array, token: Token | undefined): Promise<Token | undefined> {
    const written = await this.put(key, [bytes], token);
    return written && this.tokenOf(written.etag, key);
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo> {
    checkPrefix(prefix);
    const pages = new Pages(`${this.url}: ${prefix}`);
    let more: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.place.bucket,
        Prefix: this.place.prefix + prefix,
        ContinuationToken: more,
      });
      const page = await this.words(undefined, (client) =>
        new Deadline(pageMs).under(signal).run(this.url, (abortSignal) => client.send(command, { abortSignal })),
      );
      signal?.throwIfAborted();
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        if (Key?.startsWith(this.place.prefix + prefix) === false) throw pages.outside(Key);
        const key = Key?.slice(this.place.prefix.length) ?? '';
        // Consoles mark folders by an object of the prefix's own name.
        if (key === '' || !isListed(key, prefix)) continue;
        yield { key, size: Size ?? 0, modified: LastModified ?? new Date(0) };
      }
      more = pages.after(page);
    } while (more !== undefined);
  }

  async delete(key: string): Promise<void> {
    await this.words(key, (client) => client.send(new DeleteObjectCommand(this.target(key))));
  }

  localPath(key: string): undefined {
    checkKey(key);
    return undefined;
  }

  async direct(key: string): Promise<DirectSource> {
    return this.session.sign(this.target(key), signedSeconds);
  }

  async close(): Promise<void> {
    this.session.close();
  }

  private target(key: string): { Bucket: string; Key: string } {
    checkKey(key);
    return { Bucket: this.place.bucket, Key: this.place.prefix + key };
  }

  /** Undefined when the object has no byte in the range, or is what it is not to be. */
  private async get(
    key: string,
    { range, unless, bytesMax }: Wanted,
    deadline = new Deadline(),
  ): Promise<Answer | undefined> {
    const target = {
      ...this.target(key),
      Range: range,
      // HTTP wants the quotes.
      IfNoneMatch: unless === undefined ? undefined : `"${unless}"`,
    };
    return this.words(key, async (client) => {
      try {
        const { answer, bytes } = await deadline.run(`s3://${this.place.bucket}`, async (abortSignal) => {
          const output = await client.send(new GetObjectCommand(target), { abortSignal });
          const body = output.Body as Readable;
          const collected = await this.collect(body, output.ContentLength, { key, bytesMax, deadline });
          return { answer: output, bytes: collected };
        });
        const found = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.ContentRange ?? '');
        const start = found ? Number(found[1]) : 0;
        return { bytes, etag: answer.ETag, start, size: found ? Number(found[2]) : bytes.length };
      } catch (error) {
        if (statusOf(error) === 416 || (unless !== undefined && statusOf(error) === 304)) return undefined;
        throw error;
      }
    });
  }

  /** The whole body, which a cut connection may have made shorter than announced. */
  private async collect(
    body: Readable,
    length: number | undefined,
    { key, bytesMax, deadline }: { key: string; bytesMax: number; deadline: Deadline },
  ): Promise<Buffer> {
    if (length === undefined || length > bytesMax) {
      body.destroy();
      const what = `${this.url}: ${key}`;
      if (length !== undefined) {
        throw new PachError('damaged', {
          what,
          why: `the server sends ${length} bytes, and at most ${bytesMax} were expected`,
        });
      }
      const next = 'check that the endpoint is an S3 server';
      throw new PachError('unsupported', { what, why: 'the server does not answer as S3 does', next });
    }
    const bytes = Buffer.allocUnsafe(length);
    let filled = 0;
    // Events rather than an iteration with a promise a piece: every cold read comes through here.
    body.on('data', (piece: Buffer) => {
      if (filled + piece.length <= length) piece.copy(bytes, filled);
      filled += piece.length;
      deadline.moved(piece.length);
    });
    await finished(body);
    if (filled !== length) throw this.cut(key, `it sent ${filled} of ${length} bytes`);
    return bytes;
  }

  /** Undefined when the present version is not `token` (undefined: when there is one). */
  private async put(
    key: string,
    parts: readonly Uint8Array[],
    token: Token | undefined,
    signal?: AbortSignal,
  ): Promise<{ etag: string | undefined } | undefined> {
    const target = this.target(key);
    return this.words(key, async (client) => {
      if (this.singleWriter && (await this.tokenNow(client, key)) !== token) return undefined;
      const condition = token === undefined ? { IfNoneMatch: '*' } : { IfMatch: token };
      const input = { ...target, ...this.place.writes, ...(this.singleWriter ? {} : condition), ...bodyOf(parts) };
      try {
        const output = await client.send(new PutObjectCommand(input), signal && { abortSignal: signal });
        return { etag: output.ETag };
      } catch (error) {
        const absent = statusOf(error) === 404 && (error as Error).name !== 'NoSuchBucket';
        if (statusOf(error) === 412 || (absent && token !== undefined)) return undefined;
        throw error;
      }
    });
  }

  private async tokenNow(client: S3Client, key: string): Promise<Token | undefined> {
    try {
      return this.tokenOf((await client.send(new HeadObjectCommand(this.target(key)))).ETag, key);
    } catch (error) {
      // A HEAD has no body, so an absent bucket looks like an absent key. The write will tell.
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  private async words<T>(key: string | undefined, work: (client: S3Client) => Promise<T>): Promise<T> {
    try {
      return await this.session.run(work);
    } catch (error) {
      throw fromS3(error, this.place, key);
    }
  }

  /** A condition wants the tag without the quotes that answers give it. */
  private tokenOf(etag: string | undefined, key: string): Token {
    const token = etag?.replace(/^W\//, '').replaceAll('"', '');
    if (token) return token as Token;
    throw new PachError('unsupported', {
      what: `${this.url}: ${key}`,
      why: 'the server names no version (ETag) of what it stores',
    });
  }

  private cut(key: string, why: string): PachError {
    return new PachError('unreachable', { what: `${this.url}: ${key}`, why: `the answer was cut: ${why}` });
  }
}

/**
 * A large body goes out part by part: no copy, and a CRC (2.5 GB/s) for the server to check in
 * place of a signed SHA-256 of it all.
 */
function bodyOf(parts: readonly Uint8Array[]): Pick<PutObjectCommandInput, 'Body' | 'ContentLength' | 'ChecksumCRC32'> {
  const length = parts.reduce((total, part) => total + part.length, 0);
  if (length < streamedBytesMin) return { Body: Buffer.concat(parts), ContentLength: length };
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(parts.reduce((sum, part) => crc32(part, sum), 0));
  const filled = parts.filter((part) => part.length > 0);
  return {
    Body: Readable.from(filled, { objectMode: false }),
    ContentLength: length,
    ChecksumCRC32: checksum.toString('base64'),
  };
}

function isNoSuchBucket(error: PachError): boolean {
  return error.cause instanceof Error && error.cause.name === 'NoSuchBucket';
}
