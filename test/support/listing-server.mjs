/**
 * A server that has nothing but the listing of a bucket, of as many objects as are wanted, without versions.
 */
import { createServer } from 'node:http';

/**
 * `asked` are the paths of the requests so far.
 * @param {number} count
 * @returns {Promise<{ url: string, asked: string[], close(): void }>}
 */
export async function listingServer(count) {
  /** @type {string[]} */
  const asked = [];
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://listing');
    asked.push(request.url ?? '');
    if (searchParams.has('versioning')) return void response.end('<VersioningConfiguration/>');
    if (searchParams.get('list-type') !== '2') return void response.writeHead(500).end();
    const from = Number(searchParams.get('continuation-token') ?? 0);
    const to = Math.min(count, from + 1000);
    const keys = Array.from({ length: to - from }, (_, i) => objectOf(i + from));
    const next = to < count ? `<NextContinuationToken>${to}</NextContinuationToken>` : '';
    const head = `<Name>raw</Name><IsTruncated>${to < count}</IsTruncated>${next}`;
    response.end(`<ListBucketResult>${head}${keys.join('')}</ListBucketResult>`);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', () => done(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${port}`, asked, close };
}

/** @param {number} n */
function objectOf(n) {
  const etag = n.toString(16).padStart(32, '0');
  return `<Contents><Key>all/d${n % 10}/${n}</Key><Size>${n + 1}</Size><ETag>"${etag}"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`;
}
