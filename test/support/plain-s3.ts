/**
 * An S3 server without conditional writes, which no real one at hand lacks: objects in memory,
 * whole and in ranges, listed in pages, deleted. Conditions are ignored, or refused with 501. What
 * is read is counted, in bytes and in round trips one after another.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

interface Kept {
  readonly body: Buffer;
  readonly modified: Date;
}

export interface Answer {
  readonly path: string;
  readonly bytes: number;
  /** How many round trips, one after another, it ends: it began when those before it were answered. */
  readonly trip: number;
}

export interface PlainS3 extends AsyncDisposable {
  /** `s3://bucket/prefix?endpoint=…`. */
  readonly url: string;
  readonly env: Readonly<Record<string, string>>;
  /** By path, `/bucket/prefix/key`. */
  readonly objects: Map<string, Kept>;
  /** Methods and paths, in their order. */
  readonly requests: string[];
  /** What was read, in the order in which it was answered; emptied by who counts. */
  readonly reads: Answer[];
  /** Each answer waits so long. */
  delayMs: number;
  /** Serves what lies in a folder store now, and nothing else. */
  copy(dir: string): Promise<void>;
  /** Added to this machine's clock where the server tells a time, in milliseconds. */
  skewMs: number;
}

const pageKeys = 1000;

export async function plainS3(conditions: 'ignored' | 'refused' = 'ignored'): Promise<PlainS3> {
  const objects = new Map<string, Kept>();
  const requests: string[] = [];
  const server = createServer((request, answer) => {
    void respond(request, answer).catch(() => answer.destroy());
  });

  async function respond(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method = '', headers } = request;
    const url = new URL(request.url ?? '', 'http://server');
    const body = await buffer(request);
    requests.push(`${method} ${url.pathname}`);
    const conditional = headers['if-match'] !== undefined || headers['if-none-match'] !== undefined;
    if (method === 'PUT' && conditional && conditions === 'refused') return void fail(answer, 501, 'NotImplemented');
    if (method === 'PUT') {
      objects.set(url.pathname, { body, modified: new Date(Date.now() + place.skewMs) });
      answer.writeHead(200, { etag: etagOf(body) }).end();
    } else if (method === 'DELETE') {
      objects.delete(url.pathname);
      answer.writeHead(204).end();
    } else if (url.searchParams.has('list-type')) list(url, answer);
    else {
      const trip = 1 + Math.max(0, ...place.reads.map((each) => each.trip));
      await sleep(place.delayMs);
      const bytes = read(objects.get(url.pathname), request, answer);
      place.reads.push({ path: url.pathname, bytes, trip });
    }
  }

  function list({ pathname, searchParams }: URL, answer: ServerResponse): void {
    const bucket = `${pathname.replace(/\/$/, '')}/`;
    const after = searchParams.get('continuation-token') ?? '';
    const keys = [...objects.keys()]
      .filter((path) => path.startsWith(bucket + (searchParams.get('prefix') ?? '')) && path > after)
      .toSorted();
    const page = keys.slice(0, pageKeys).map((path) => {
      const { body, modified } = objects.get(path) as Kept;
      const fields = `<Size>${body.length}</Size><LastModified>${modified.toISOString()}</LastModified>`;
      return `<Contents><Key>${path.slice(bucket.length)}</Key>${fields}</Contents>`;
    });
    const more = keys.length > pageKeys;
    const next = more ? `<NextContinuationToken>${keys[pageKeys - 1]}</NextContinuationToken>` : '';
    const xml = `<ListBucketResult><IsTruncated>${more}</IsTruncated>${next}${page.join('')}</ListBucketResult>`;
    answer.writeHead(200, { 'content-type': 'application/xml' }).end(xml);
  }

  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const place: PlainS3 = {
    url: `s3://bucket/prefix?endpoint=${endpoint}`,
    env: { AWS_ACCESS_KEY_ID: 'any', AWS_SECRET_ACCESS_KEY: 'any', AWS_REGION: 'us-east-1' },
    objects,
    requests,
    reads: [],
    delayMs: 0,
    skewMs: 0,
    async copy(dir) {
      objects.clear();
      for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        const key = path.slice(dir.length + 1);
        if (entry.isFile()) objects.set(`/bucket/prefix/${key}`, { body: await readFile(path), modified: new Date() });
      }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
  return place;
}

/** The bytes of an object that went out. */
function read(kept: Kept | undefined, { method, headers }: IncomingMessage, answer: ServerResponse): number {
  if (!kept) return fail(answer, 404, 'NoSuchKey');
  const { body } = kept;
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(headers.range ?? '') ?? [];
  const from = first === '' ? Math.max(0, body.length - Number(last || body.length)) : Number(first);
  const to = first === '' || last === '' ? body.length : Math.min(body.length, Number(last) + 1);
  if (headers.range !== undefined && from >= body.length) return fail(answer, 416, 'InvalidRange');
  const range = headers.range === undefined ? {} : { 'content-range': `bytes ${from}-${to - 1}/${body.length}` };
  answer.writeHead(headers.range === undefined ? 200 : 206, {
    'content-length': to - from,
    etag: etagOf(body),
    ...range,
  });
  answer.end(method === 'HEAD' ? undefined : body.subarray(from, to));
  return method === 'HEAD' ? 0 : to - from;
}

function fail(answer: ServerResponse, status: number, code: string): number {
  answer.writeHead(status, { 'content-type': 'application/xml' }).end(`<Error><Code>${code}</Code></Error>`);
  return 0;
}

const etags = new WeakMap<Buffer, string>();

function etagOf(body: Buffer): string {
  const etag = etags.get(body) ?? `"${createHash('md5').update(body).digest('hex')}"`;
  etags.set(body, etag);
  return etag;
}
