/**
 * A way to a real S3 server that fails: an HTTP proxy on loopback which passes requests on as they
 * are (signatures hold), unless it is told what becomes of one.
 */
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

export type WireFault =
  | 'works'
  | 'reset' // the connection breaks before the server hears of it
  | 'resetDone' // the same after the server has done it
  | 'expired' // the keys are not accepted any more
  | 'error500' // an answer that it was not done
  | 'slowDown' // 503
  | 'missing' // 404
  | 'gateway504Done' // done, and then an answer that nobody answered
  | 'torn' // half of what is sent arrives
  | 'truncated' // half of the answer arrives
  | 'short' // half of the answer arrives, as if it were all
  | 'flipped' // bytes of the answer are others
  | 'stalled' // no answer ever comes
  | 'stalledBody' // half of the answer, and then nothing more
  | 'trickled' // the answer, a byte each tenth of a second
  | 'slow'; // the answer, a tenth of it each 0.3 seconds

export interface FaultyWay extends AsyncDisposable {
  readonly endpoint: string;
  /** Methods of what came, in order. */
  readonly requests: string[];
  /** Requests whose answer has not ended, and whose client has not gone. */
  readonly open: number;
}

const garbleEvery = 512;
const trickleMs = 100;
const slowMs = 300;

/** `next` is asked for each request: its method, whether it asks for a range, and all of it. */
export async function faultyWay(
  endpoint: string,
  next: (method: string, ranged: boolean, request: IncomingMessage) => WireFault,
): Promise<FaultyWay> {
  const { hostname, port } = new URL(endpoint);
  const requests: string[] = [];
  let open = 0;

  async function pass(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method = '', url: path, headers } = request;
    requests.push(method);
    open += 1;
    answer.on('close', () => (open -= 1));
    const fault = next(method, headers.range !== undefined, request);
    const body = await buffer(request);
    if (fault === 'reset') return void request.socket.destroy();
    if (fault === 'stalled') return;
    if (fault === 'expired') return refuse(answer, method === 'HEAD' ? 403 : 400, 'ExpiredToken');
    if (fault === 'error500') return refuse(answer, 500, 'InternalError');
    if (fault === 'missing') return refuse(answer, 404, 'NoSuchKey');
    if (fault === 'slowDown') return refuse(answer, 503, 'SlowDown');
    const sent = httpRequest({ hostname, port, method, path, headers, agent: false });
    if (fault === 'torn' && body.length > 1) {
      sent.on('error', () => undefined).write(body.subarray(0, body.length >> 1), () => sent.destroy());
      return void request.socket.destroy();
    }
    const found = await new Promise<IncomingMessage>((done, fail) => {
      sent.on('response', done).on('error', fail).end(body);
    });
    const bytes = await buffer(found);
    if (fault === 'resetDone') return void request.socket.destroy();
    if (fault === 'gateway504Done') return refuse(answer, 504, 'GatewayTimeout');
    const half = bytes.subarray(0, bytes.length >> 1);
    const { 'transfer-encoding': _, ...kept } = found.headers;
    const length = fault === 'short' ? half.length : (kept['content-length'] ?? bytes.length);
    answer.writeHead(found.statusCode ?? 500, { ...kept, 'content-length': length });
    if (fault === 'truncated') answer.write(half, () => request.socket.destroy());
    else if (fault === 'stalledBody' && bytes.length > 1) answer.write(half);
    else if (fault === 'short') answer.end(half);
    else if (fault === 'trickled') sendParts(answer, bytes, 1, trickleMs);
    else if (fault === 'slow') sendParts(answer, bytes, Math.ceil(bytes.length / 10), slowMs);
    else answer.end(fault === 'flipped' ? garbled(bytes) : bytes);
  }

  const server = createServer((request, answer) => {
    pass(request, answer).catch(() => request.socket.destroy());
  });
  server.on('connection', (socket) => socket.on('error', () => undefined));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get open() {
      return open;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

function sendParts(answer: ServerResponse, bytes: Buffer, partBytes: number, everyMs: number): void {
  let at = 0;
  const timer = setInterval(() => {
    answer.write(bytes.subarray(at, at + partBytes));
    at += partBytes;
    if (at >= bytes.length) answer.end();
  }, everyMs);
  answer.on('close', () => clearInterval(timer));
}

function refuse(answer: ServerResponse, status: number, code: string): void {
  answer.writeHead(status, { 'content-type': 'application/xml' }).end(`<Error><Code>${code}</Code></Error>`);
}

function garbled(bytes: Buffer): Buffer {
  const other = Buffer.from(bytes);
  for (let at = 0; at < other.length; at += garbleEvery) other[at] = (other[at] as number) ^ 0x40;
  return other;
}
