/**
 * A line to a server that takes its time: what is asked arrives a while later, and what is answered
 * passes at once, in pieces so large that the line itself takes little of the processor.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const pieceBytes = 1024 * 1024;

/** @param {import('node:net').Socket} client @param {{ host: string, port: number }} target @param {number} delayMs */
function join(client, target, delayMs) {
  /** @param {number} length @param {Uint8Array} bytes */
  const pass = (length, bytes) => {
    client.write(bytes.subarray(0, length), () => server.resume());
    // The memory is used again: nothing more comes before this has gone.
    return false;
  };
  const server = connect({ ...target, onread: { buffer: Buffer.alloc(pieceBytes), callback: pass } });
  client.on('data', (bytes) => void setTimeout(() => server.write(bytes), delayMs));
  for (const [one, other] of /** @type {const} */ ([
    [client, server],
    [server, client],
  ])) {
    one.on('error', () => other.destroy()).on('close', () => other.destroy());
  }
}

/**
 * Runs `use` with the environment that leads over such a line.
 *
 * @param {Record<string, string>} env leads to an S3 server
 * @param {number} delayMs
 * @param {(env: Record<string, string>) => Promise<void>} use
 */
export async function withLine(env, delayMs, use) {
  const { hostname: host, port } = new URL(env['AWS_ENDPOINT_URL'] ?? '');
  /** @type {Set<import('node:net').Socket>} */
  const clients = new Set();
  const server = createServer({ noDelay: true }, (client) => {
    clients.add(client.on('close', () => clients.delete(client)));
    join(client, { host, port: Number(port) }, delayMs);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  try {
    const endpoint = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
    await use({ ...env, AWS_ENDPOINT_URL: endpoint });
  } finally {
    server.close();
    for (const client of clients) client.destroy();
  }
}
