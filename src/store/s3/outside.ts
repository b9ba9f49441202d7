/**
 * Objects outside of the store, by their versions: connections to their buckets, shared and opened when
 * they are needed, with the credentials that the environment and profile of AWS give.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Deadline } from '../../base/deadline.ts';
import { isPachError } from '../../base/errors.ts';
import type { OutsideObject, ReferenceContent } from '../../model/reference.ts';
import type { Bucket } from './bucket.ts';
import { parseS3Url } from './url.ts';

const pauseMsFirst = 100;
const pauseMsMax = 5_000;

export class OutsideObjects {
  private readonly buckets = new Map<string, Promise<Bucket>>();

  /** A range of an object in its version. Tries again, until the deadline is over, what fails as `unreachable`. */
  async read(
    { object, size }: ReferenceContent,
    range: { readonly offset: number; readonly length: number },
    deadline: Deadline,
  ): Promise<Buffer> {
    const { key, version } = object;
    const moved = (bytes: number): void => deadline.moved(bytes);
    const bucket = await this.bucket(object);
    for (let pauseMs = pauseMsFirst; ; pauseMs = Math.min(pauseMsMax, pauseMs * 2)) {
      try {
        return await deadline.run(bucket.shown(key), (signal) =>
          bucket.readVersion(key, { version, size, ...range }, { signal, moved }),
        );
      } catch (error) {
        if (!isPachError(error, 'unreachable') || deadline.leftMs <= pauseMs) throw error;
      }
      await sleep(pauseMs);
    }
  }

  /** Closes all connections. */
  close(): void {
    for (const bucket of this.buckets.values()) bucket.then((open) => open.close()).catch(() => undefined);
    this.buckets.clear();
  }

  private bucket({ bucket, endpoint, region, style }: OutsideObject): Promise<Bucket> {
    const key = JSON.stringify([bucket, endpoint, region, style]);
    const parts = Object.entries({ endpoint, region, style });
    const query = parts.flatMap(([name, value]) => (value === undefined ? [] : `${name}=${encodeURIComponent(value)}`));
    // It comes from a store, so it is held to what an address may say: no credentials, only http.
    const place = parseS3Url(`s3://${bucket}?${query.join('&')}`);
    const known = this.buckets.get(key);
    if (known) return known;
    // Loaded here: it brings the SDK.
    const open = import('./bucket.ts').then((module) => module.Bucket.open(place));
    this.buckets.set(key, open);
    // What was missing, such as credentials, may be there for the next read.
    open.catch(() => this.buckets.delete(key));
    return open;
  }
}
