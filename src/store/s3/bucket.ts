/**
 * Any bucket, read only: objects that are not ours, of any size and name, each read as one version.
 *
 * Loads the SDK, which takes its time: import this file only where a bucket is used.
 */
import { addAbortSignal, type Readable } from 'node:stream';
import {
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { PachError } from '../../base/errors.ts';
import type { ObjectVersion } from '../../model/reference.ts';
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

/** An object with the id of its version, where it has one that stays. */
export interface VersionedObject extends BucketObject {
  readonly version: string | undefined;
}

export interface VersionMarker {
  readonly key: string;
  readonly version: string | undefined;
}

interface VersionRange {
  readonly version: ObjectVersion;
  /** Bytes of the whole object. */
  readonly size: number;
  readonly offset: number;
  readonly length: number;
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
      const plain = plainKeys(page.EncodingType);
      const objects = (page.Contents ?? []).map(({ Key = '', Size = 0, LastModified, ETag }) =>
        objectOf(plain(Key), Size, LastModified, ETag),
      );
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

  /**
   * Bytes of an object in one version, which has `size` bytes. Throws `failed` when there is no such object
   * or version, or the server gives another one.
   */
  async readVersion(
    key: string,
    { version, size, offset, length }: VersionRange,
    { signal, moved }: { signal: AbortSignal; moved: (bytes: number) => void },
  ): Promise<Buffer> {
    return this.session
      .run(async (client) => {
        const isWhole = offset === 0 && length === size;
        const output = await client.send(
          new GetObjectCommand({
            Bucket: this.place.bucket,
            Key: key,
            ...(version.by === 'etag' ? { IfMatch: version.id } : { VersionId: version.id }),
            Range: isWhole ? undefined : `bytes=${offset}-${offset + length - 1}`,
          }),
          { abortSignal: signal },
        );
        const body = output.Body as Readable;
        // A server may not know the condition, or not keep to it.
        const found = version.by === 'etag' ? bare(output.ETag) : output.VersionId;
        const total = isWhole ? output.ContentLength : Number(/\/(\d+)$/.exec(output.ContentRange ?? '')?.[1]);
        const start = isWhole ? 0 : Number(/^bytes (\d+)-/.exec(output.ContentRange ?? '')?.[1]);
        if (found !== version.id || total !== size || start !== offset || output.ContentLength !== length) {
          body.destroy();
          throw this.changed(key, version);
        }
        const bytes = Buffer.allocUnsafe(length);
        let at = 0;
        for await (const piece of this.pieces(key, body, signal)) {
          moved(piece.length);
          if (at + piece.length <= length) bytes.set(piece, at);
          at += piece.length;
        }
        if (at === length) return bytes;
        const why = `the server sent ${at} of ${length} bytes`;
        throw new PachError('unreachable', { what: this.shown(key), why });
      })
      .catch((error: unknown) => {
        signal.throwIfAborted();
        if (statusOf(error) === 412) throw this.changed(key, version, error);
        const known = fromS3(error, this.place, key);
        // A version that was deleted, and one that is a mark of deletion.
        if (known.code !== 'not-found' && statusOf(error) !== 405) throw known;
        throw new PachError('failed', {
          what: this.shown(key),
          why: `a file refers to this object, and it is not there any more (${named(version)})`,
          next: 'put the object back, or put what is there now by reference again',
          cause: error,
        });
      });
  }

  private changed(key: string, version: ObjectVersion, cause?: unknown): PachError {
    return new PachError('failed', {
      what: this.shown(key),
      why: `a file refers to this object, and it has changed since (${named(version)} is not there any more)`,
      next: 'put back the object as it was, or put what is there now by reference again',
      cause,
    });
  }

  /** A page of the newest versions of the objects whose key begins with `prefix`; as `list`, but for a bucket that keeps versions. */
  async listVersions(
    prefix: string,
    from: VersionMarker | undefined,
    signal: AbortSignal,
    pages: Pages,
  ): Promise<{ objects: VersionedObject[]; next: VersionMarker | undefined }> {
    return this.words(prefix, signal, async (client) => {
      const page = await client.send(
        new ListObjectVersionsCommand({
          Bucket: this.place.bucket,
          Prefix: prefix,
          KeyMarker: from?.key,
          VersionIdMarker: from?.version,
          EncodingType: 'url',
        }),
        { abortSignal: signal },
      );
      const plain = plainKeys(page.EncodingType);
      const objects = (page.Versions ?? []).flatMap(({ Key = '', Size = 0, LastModified, ETag, VersionId, IsLatest }) =>
        IsLatest ? [{ ...objectOf(plain(Key), Size, LastModified, ETag), version: versionId(VersionId) }] : [],
      );
      const foreign = objects.find(({ key }) => !key.startsWith(prefix));
      if (foreign) throw pages.outside(foreign.key);
      const { NextKeyMarker: key, NextVersionIdMarker: version } = page;
      const token = key === undefined ? undefined : `${key}\0${version ?? ''}`;
      // One key with many versions begins several pages.
      const Contents = page.Versions?.slice(0, 1).map(({ Key, VersionId }) => ({ Key: `${Key}\0${VersionId}` }));
      const more = pages.after({ ...page, NextContinuationToken: token, Contents });
      if (more === undefined || key === undefined) return { objects, next: undefined };
      // Some servers (Ceph) do not escape the marker, though they escape the keys.
      const isEscaped = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])].some(({ Key }) => Key === key);
      return { objects, next: { key: isEscaped ? plain(key) : key, version } };
    });
  }

  /** What an object is now, without its bytes. Throws `not-found`. */
  async head(key: string, signal: AbortSignal): Promise<VersionedObject> {
    return this.words(key, signal, async (client) => {
      const command = new HeadObjectCommand({ Bucket: this.place.bucket, Key: key });
      const output = await client.send(command, { abortSignal: signal });
      const { ContentLength, LastModified, ETag, VersionId } = output;
      return { ...objectOf(key, ContentLength ?? 0, LastModified, ETag), version: versionId(VersionId) };
    });
  }

  /** True where the bucket keeps the versions of its objects; undefined where the server does not say. */
  async keepsVersions(signal: AbortSignal): Promise<boolean | undefined> {
    try {
      const command = new GetBucketVersioningCommand({ Bucket: this.place.bucket });
      const { Status } = await this.session.run((client) => client.send(command, { abortSignal: signal }));
      return Status === 'Enabled';
    } catch (error) {
      signal.throwIfAborted();
      if (fromS3(error, this.place, undefined).code === 'unreachable') throw fromS3(error, this.place, undefined);
      return undefined;
    }
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

function named({ by, id }: ObjectVersion): string {
  return by === 'etag' ? `ETag ${id}` : `version ${id}`;
}

/** Objects of a bucket from before it kept versions have the version `null`, which can be overwritten. */
function versionId(id: string | undefined): string | undefined {
  return id === 'null' || id === '' ? undefined : id;
}

function objectOf(key: string, size: number, modified: Date | undefined, etag: string | undefined): BucketObject {
  return { key, size, modifiedMs: modified?.getTime() ?? 0, etag: bare(etag) };
}

function plainKeys(encoding: string | undefined): (key: string) => string {
  return (key) => (encoding === 'url' ? decodeURIComponent(key.replaceAll('+', ' ')) : key);
}

function bare(etag: string | undefined): string {
  return etag?.replace(/^W\//, '').replaceAll('"', '') ?? '';
}
