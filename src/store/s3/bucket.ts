/**
 * Any bucket, read only: objects that are not ours, of any size and name, each read as one version.
 *
 * Loads the SDK, which takes its time: import this file only where a bucket is used.
 */
import { addAbortSignal, type Readable } from 'node:stream';
import { GetObjectCommand, ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { PachError } from '../../base/errors.ts';
import { S3Session } from './client.ts';
import { fromS3, statusOf } from './errors.ts';
import { Pages } from './pages.ts';
import type { S3Place } from './url.ts';

export interface BucketObject {
  /** From the bucket's root. */
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modifiedMs: number;
  /** Names the version, without quotes. */
  readonly etag: string;
}

/** Each call is a single try. No answer is `unreachable`. */
export class Bucket {
  private readonly place: S3Place;
  private readonly session: S3Session;

  private constructor(place: S3Place, session: S3Session) {
    this.place = place;
    this.session = session;
  }

  /** Asks nothing of the server yet. The place's prefix means nothing here. */
  static async open(place: S3Place): Promise<Bucket> {
    return new Bucket({ ...place, prefix: '' }, await S3Session.open(place));
  }

  /** A page of the objects whose key begins with `prefix`, in order, and where the next one begins; `pages` are those of one listing. */
  async list(
    prefix: string,
    from: string | undefined,
    signal: AbortSignal,
    pages = new Pages(this.shown(prefix)),
  ): Promise<{ objects: BucketObject[]; next: string | undefined }> {
    return this.words(prefix, signal, async (client) => {
      const page = await client.send(
        new ListObjectsV2Command({
          Bucket: this.place.bucket,
          Prefix: prefix,
          ContinuationToken: from,
          // Keys may hold what XML can't.
          EncodingType: 'url',
        }),
        { abortSignal: signal },
      );
      const plain = (key: string): string =>
        page.EncodingType === 'url' ? decodeURIComponent(key.replaceAll('+', ' ')) : key;
      const objects = (page.Contents ?? []).map(({ Key = '', Size = 0, LastModified, ETag }) => ({
        key: plain(Key),
        size: Size,
        modifiedMs: LastModified?.getTime() ?? 0,
        etag: bare(ETag),
      }));
      const foreign = objects.find(({ key }) => !key.startsWith(prefix));
      if (foreign) throw pages.outside(foreign.key);
      return { objects, next: pages.after(page) };
    });
  }

  /**
   * The bytes of an object from an offset on, of the version `etag` (undefined: of the newest).
   * Throws `not-found`, and `failed` when it is of another version by now.
   */
  async read(
    key: string,
    { offset, etag }: { offset: number; etag: string | undefined },
    signal: AbortSignal,
  ): Promise<BucketObject & { body: AsyncIterable<Uint8Array> }> {
    return this.words(key, signal, async (client) => {
      const output = await client.send(
        new GetObjectCommand({
          Bucket: this.place.bucket,
          Key: key,
          IfMatch: etag,
          Range: offset > 0 ? `bytes=${offset}-` : undefined,
        }),
        { abortSignal: signal },
      );
      const body = output.Body as Readable;
      const start = offset > 0 ? Number(/^bytes (\d+)-/.exec(output.ContentRange ?? '')?.[1]) : 0;
      if (start !== offset || output.ContentLength === undefined) {
        body.destroy();
        const what = this.shown(key);
        throw new PachError('unsupported', { what, why: 'the server does not answer as S3 does' });
      }
      return {
        key,
        size: offset + output.ContentLength,
        modifiedMs: output.LastModified?.getTime() ?? 0,
        etag: bare(output.ETag),
        body: this.pieces(key, body, signal),
      };
    });
  }

  /** How messages name an object. */
  shown(key: string): string {
    return `s3://${this.place.bucket}/${key}`;
  }

  close(): void {
    this.session.close();
  }

  private async *pieces(key: string, body: Readable, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    addAbortSignal(signal, body);
    try {
      yield* body as AsyncIterable<Uint8Array>;
    } catch (error) {
      signal.throwIfAborted();
      throw fromS3(error, this.place, key);
    } finally {
      body.destroy();
    }
  }

  private async words<T>(key: string, signal: AbortSignal, work: (client: S3Client) => Promise<T>): Promise<T> {
    try {
      return await this.session.run(work);
    } catch (error) {
      signal.throwIfAborted();
      if (statusOf(error) === 412) {
        const why = 'it changed while it was read, so nothing was committed';
        throw new PachError('failed', { what: this.shown(key), why, cause: error });
      }
      throw fromS3(error, this.place, key);
    }
  }
}

function bare(etag: string | undefined): string {
  return etag?.replace(/^W\//, '').replaceAll('"', '') ?? '';
}
