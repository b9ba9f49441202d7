/**
 * Objects in a bucket: remotes of DVC at `s3://`.
 */
import { isPachError } from '../base/errors.ts';
import { parseS3Source, s3Entry } from '../sources/s3.ts';
import type { Bucket } from '../store/s3/bucket.ts';
import { persist } from '../sources/resume.ts';
import type { ObjectPlace } from './objects.ts';

export interface BucketAddress {
  readonly url: string;
  readonly endpoint: string | undefined;
  readonly region: string | undefined;
}

/** Asks nothing of the server yet. Throws `usage` for an address that is none. */
export function bucketPlace(address: BucketAddress, layouts: readonly ((file: string) => string)[]): ObjectPlace {
  const query = Object.entries({ endpoint: address.endpoint, region: address.region })
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]))
    .join('&');
  // Signs that mean something in an address of ours mean themselves in one of DVC.
  const url = address.url.replace(/\/+$/, '').replaceAll('%', '%25').replaceAll('?', '%3F');
  const { place, key: prefix } = parseS3Source(`${url}${query === '' ? '' : `?${query}`}`);
  let opened: Promise<Bucket> | undefined;
  const bucket = (): Promise<Bucket> => (opened ??= import('../store/s3/bucket.ts').then((m) => m.Bucket.open(place)));
  const first = async <T>(file: string, ask: (key: string) => Promise<T>): Promise<T | undefined> => {
    for (const layout of layouts) {
      const found = await ask(`${prefix === '' ? '' : `${prefix}/`}${layout(file)}`).catch(unlessAbsent);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return {
    shown: address.url,
    open: (file, signal = new AbortController().signal) =>
      first(file, async (key) => {
        const entry = s3Entry(bucket, { place, key }, [], () => undefined);
        return entry.kind === 'file' ? (await entry.open(signal)).bytes : undefined;
      }),
    has: async (file, signal = new AbortController().signal) =>
      (await first(file, (key) => persist(signal, async () => (await bucket()).head(key, signal)))) !== undefined,
    close() {
      opened?.then((open) => open.close()).catch(() => undefined);
    },
  };
}

function unlessAbsent(error: unknown): undefined {
  if (!isPachError(error, 'not-found')) throw error;
}
