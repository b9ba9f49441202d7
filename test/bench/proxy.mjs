/**
 * A proxy in front of an S3 server, on loopback, that counts what is fetched through it.
 */
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import { pipeline } from 'node:stream';

/** @typedef {{ requests: number, gets: number, bytes: number, sent: number }} Fetched bytes of the bodies of answers to GETs; sent: of the bodies of requests */

export class Proxy {
  /** @type {Fetched} */
  #fetched = { requests: 0, gets: 0, bytes: 0, sent: 0 };
  #agent = new Agent({ keepAlive: true });
  #server;
  #target;

  /** @param {URL} target */
  constructor(target) {
    this.#target = target;
    this.#server = createServer((asked, answer) => this.#forward(asked, answer));
    // Connections stay open as long as the clients want them: S3 servers close idle ones later, too.
    this.#server.keepAliveTimeout = 60_000;
  }

  async listen() {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  }

  /** What was fetched since the last call. */
  take() {
    const taken = this.#fetched;
    this.#fetched = { requests: 0, gets: 0, bytes: 0, sent: 0 };
    return taken;
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
  }

  /**
   * The Host header goes on as it came, since it is signed.
   *
   * @param {import('node:http').IncomingMessage} asked
   * @param {import('node:http').ServerResponse} answer
   */
  #forward(asked, answer) {
    const { hostname, port } = this.#target;
    const { method = '', url: path = '', rawHeaders: headers } = asked;
    const sent = request({ host: hostname, port, method, path, headers, agent: this.#agent });
    // A client that goes away, as readers ahead do, must not keep the server sending.
    answer.on('close', () => answer.writableFinished || sent.destroy());
    sent.on('error', () => answer.destroy());
    sent.on('response', (got) => {
      this.#fetched.requests += 1;
      if (method === 'GET') {
        this.#fetched.gets += 1;
        got.on('data', (bytes) => (this.#fetched.bytes += bytes.length));
      }
      answer.writeHead(got.statusCode ?? 502, got.rawHeaders);
      pipeline(got, answer, () => undefined);
    });
    asked.on('data', (bytes) => (this.#fetched.sent += bytes.length));
    pipeline(asked, sent, () => undefined);
  }
}

/**
 * Runs `use` with a proxy, and the environment that leads through it.
 *
 * @param {Record<string, string>} env leads to an S3 server
 * @param {(env: Record<string, string>, proxy: Proxy) => Promise<void>} use
 */
export async function withProxy(env, use) {
  const proxy = new Proxy(new URL(env['AWS_ENDPOINT_URL'] ?? ''));
  const endpoint = await proxy.listen();
  try {
    await use({ ...env, AWS_ENDPOINT_URL: endpoint }, proxy);
  } finally {
    proxy.close();
  }
}
