/**
 * A small web server for those who watch: a few pages, each made when it is asked for. It changes
 * nothing and shows no data, and still tells names of pipelines: so it listens on this machine alone,
 * unless another address is written out.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { PachError } from '../base/errors.ts';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface Page {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** By path. */
export type Pages = Readonly<Record<string, () => Page | Promise<Page>>>;

export interface Listening extends AsyncDisposable {
  /** `http://127.0.0.1:30601`. */
  readonly url: string;
}

const loopback = '127.0.0.1';
const connectionsMax = 64;

/** An address of `--listen` and the like: `127.0.0.1:30601`, `[::1]:30601`, or a port of this machine. Throws `usage`. */
export function parseListen(option: string, text: string): ListenAddress {
  const [, bracketed, dotted, digits = ''] =
    /^(?:\[([0-9a-fA-F:.]+)\]:|([0-9.]*|localhost):)?(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? (dotted === 'localhost' ? loopback : dotted || loopback);
  const port = Number(digits);
  const isAddress = isIP(host) === (bracketed === undefined ? 4 : 6);
  if (digits === '' || !isAddress || port > 65_535) {
    const why = 'it must be an address and a port of this machine';
    throw new PachError('usage', { what: `${option} ${text}`, why, next: `${option} 127.0.0.1:30601` });
  }
  return { host, port };
}

/** True for addresses that only this machine reaches. */
export function isLoopback({ host }: ListenAddress): boolean {
  return host.startsWith('127.') || host === '::1';
}

/** Listens until it is disposed of. Throws `conflict` where somebody else does, and `denied`. */
export async function listen({ host, port }: ListenAddress, pages: Pages): Promise<Listening> {
  const { createServer } = await import('node:http');
  const server = createServer((request, response) => void answer(pages, request, response));
  server.maxConnections = connectionsMax;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  }).catch((cause: NodeJS.ErrnoException) => {
    throw refused(host, port, cause);
  });
  const address = server.address();
  const bound = typeof address === 'object' && address ? address.port : port;
  return {
    url: `http://${isIP(host) === 6 ? `[${host}]` : host}:${bound}`,
    [Symbol.asyncDispose]: () => close(server),
  };
}

function refused(host: string, port: number, cause: NodeJS.ErrnoException): PachError {
  const what = `${host}:${port}`;
  if (cause.code === 'EADDRINUSE') {
    return new PachError('conflict', { what, why: 'another program listens there', next: 'give another port', cause });
  }
  if (cause.code === 'EADDRNOTAVAIL') {
    return new PachError('usage', { what, why: 'this machine does not have that address', cause });
  }
  return new PachError('denied', { what, why: `pach can't listen there (${cause.code})`, cause });
}

async function answer(pages: Pages, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '/').split('?')[0] as string;
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
  const { status, type, text } = !isRead
    ? plain(405, 'only GET')
    : page
      ? await Promise.resolve()
          .then(page)
          .catch(() => plain(500, 'it could not be made'))
      : plain(404, `there are ${Object.keys(pages).join(', ')}`);
  response.writeHead(status, {
    'content-type': type,
    'cache-control': 'no-store',
    ...(isRead ? {} : { allow: 'GET' }),
  });
  response.end(request.method === 'HEAD' ? '' : text);
}

/** A page of a line. */
export function plain(status: number, line: string): Page {
  return { status, type: 'text/plain; charset=utf-8', text: `${line}\n` };
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
