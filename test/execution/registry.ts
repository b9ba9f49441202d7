/** A registry on loopback with one image in it, for an engine to pull. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly address: string;
}

/** Serves an image of one layer, a tar, under every name and tag. */
export async function serveImage(layer: Buffer, config: object): Promise<TestRegistry> {
  const rootfs = { type: 'layers', diff_ids: [sha256(layer)] };
  const image = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config, rootfs }));
  const described = (mediaType: string, bytes: Buffer) => ({ mediaType, size: bytes.length, digest: sha256(bytes) });
  const type = 'application/vnd.docker.distribution.manifest.v2+json';
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: type,
      config: described('application/vnd.docker.container.image.v1+json', image),
      layers: [described('application/vnd.docker.image.rootfs.diff.tar', layer)],
    }),
  );
  const blobs = new Map([image, layer, manifest].map((bytes) => [sha256(bytes), bytes]));
  const server = createServer((request, response) => {
    const [, kind, name] = /\/(manifests|blobs)\/([^/]+)$/.exec(request.url ?? '') ?? [];
    const bytes = kind === 'manifests' ? manifest : blobs.get(name ?? '');
    const headers = {
      'docker-content-digest': sha256(bytes ?? image),
      'content-type': kind === 'manifests' ? type : 'application/octet-stream',
    };
    if (request.url === '/v2/') response.end('{}');
    else if (bytes)
      response
        .writeHead(200, { ...headers, 'content-length': bytes.length })
        .end(request.method === 'HEAD' ? undefined : bytes);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
