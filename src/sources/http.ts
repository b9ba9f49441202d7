/**
 * Files on web servers. A connection that breaks goes on by Range and If-Range; redirects are
 * followed a few times, and never to what is less safe. An address may hold credentials (a
 * password, a signed query), so messages show scheme, host and path alone.
 */
import type { IncomingMessage } from 'node:http';
import { PachError } from '../base/errors.ts';
import { fileTime } from '../base/file-time.ts';
import { nameProblem } from '../model/tree.ts';
import type { Agents, ThroughProxy } from '../store/network.ts';
import { openResumable } from './resume.ts';
import type { SourceFile } from './source.ts';

export interface HttpOptions {
  /** Told of the size in bytes when the server says it. */
  readonly sized?: ((bytes: number) => void) | undefined;
  /** No byte for so long is a broken connection. Default 30 s. */
  readonly idleMs?: number;
  /** See `ResumeOptions`. */
  readonly delayMs?: number;
}

interface Answer {
  readonly size: number | undefined;
  readonly body: AsyncIterable<Uint8Array>;
  /** The version, for If-Range: a strong ETag or the time of the last change. */
  readonly version: string | undefined;
  readonly etag: string | undefined;
  readonly modified: string | undefined;
}

const redirectsMax = 10;
const redirects = new Set([301, 302, 303, 307, 308]);
const passing = new Set([408, 425, 429, 500, 502, 503, 504]);
/** Errors that trying again does not mend: an untrusted certificate, an answer that is not HTTP. */
const lasting = /^(?:ERR_TLS_|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|EPROTO|ERR_SSL_|HPE_|ERR_INVALID|ERR_UNESCAPED)/;

/** Throws `usage` for what is no address of a web server; the message does not repeat it. */
export function parseHttpUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol)) return url;
  const what = `${text.split(':')[0]}://`;
  throw new PachError('usage', { what, why: 'it is not a valid address', next: 'write it as https://host/path' });
}

/** An address as messages show it. */
export function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** The file's name, from the last part of the path. Throws `usage` when that can't be one. */
export function nameOfUrl(url: URL): Buffer {
  const part = url.pathname.split('/').at(-1) ?? '';
  let problem: string | undefined = 'its path has an invalid % sequence';
  let name = Buffer.alloc(0);
  try {
    name = Buffer.from(decodeURIComponent(part));
    problem = nameProblem(name);
  } catch {
    // The error comes below.
  }
  if (problem === undefined) return name;
  throw new PachError('usage', {
    what: shownUrl(url),
    why: `the last part of its path is not a valid file name: ${problem}`,
    next: 'name the file in the target: repo@branch:/name',
  });
}

/**
 * Opens a file on a web server. Its time is the server's Last-Modified, or now. Throws `not-found`,
 * `denied`, `failed`, or `unreachable` after a bounded number of tries.
 */
export async function openHttp(url: URL, signal: AbortSignal, options: HttpOptions = {}): Promise<SourceFile> {
  const { sized, idleMs = 30_000, delayMs } = options;
  const shown = shownUrl(url);
  const { size, body, modified } = await openResumable<Answer>({
    shown,
    signal,
    delayMs,
    open: (offset, first) => ask(url, { offset, first, signal, idleMs }),
  });
  if (size !== undefined) sized?.(size);
  const ms = modified === undefined ? NaN : Date.parse(modified);
  return { executable: false, ...fileTime(Number.isNaN(ms) ? Date.now() : ms), bytes: body };
}

interface Ask {
  readonly offset: number;
  readonly first: Answer | undefined;
  readonly signal: AbortSignal;
  readonly idleMs: number;
}

async function ask(url: URL, { offset, first, signal, idleMs }: Ask): Promise<Answer> {
  const shown = shownUrl(url);
  const broken = (why: string): PachError =>
    new PachError('failed', { what: shown, why: `the connection broke after ${offset} bytes, and ${why}` });
  // Nothing is compressed on the way: offsets and lengths are those of the file.
  const headers: Record<string, string> = { 'user-agent': 'pachmount', 'accept-encoding': 'identity' };
  if (offset > 0) {
    if (first?.version === undefined)
      throw broken('the server gives no ETag or time to check that the rest belongs to the same file');
    headers['range'] = `bytes=${offset}-`;
    headers['if-range'] = first.version;
  }
  const answer = await follow(url, headers, { signal, idleMs });
  try {
    const status = answer.statusCode ?? 0;
    const etag = answer.headers.etag;
    if (offset > 0) {
      const changed = etag !== first?.etag;
      if (status === 200 || status === 416 || (status === 206 && changed)) {
        throw broken('the file has changed since, or the server does not send parts of files');
      }
    }
    if (status !== (offset > 0 ? 206 : 200)) throw refused(shown, status);
    const length = Number(answer.headers['content-length'] ?? NaN);
    if (offset > 0) {
      const [, start, , total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(answer.headers['content-range'] ?? '') ?? [];
      const sameSize = total === '*' || first?.size === undefined || Number(total) === first.size;
      if (Number(start) !== offset || !sameSize) throw broken('the server sent a different part than was asked for');
    }
    const modified = answer.headers['last-modified'];
    return {
      size: Number.isSafeInteger(length) ? length : undefined,
      version: etag !== undefined && !etag.startsWith('W/') ? etag : modified,
      etag,
      modified,
      body: bodyOf(answer, shown, idleMs),
    };
  } catch (error) {
    answer.destroy();
    throw error;
  }
}

/** The first answer that is no redirect. */
async function follow(
  url: URL,
  headers: Record<string, string>,
  limits: { signal: AbortSignal; idleMs: number },
): Promise<IncomingMessage> {
  let at = url;
  for (let count = 0; ; count += 1) {
    const answer = await send(at, headers, limits);
    const { location } = answer.headers;
    if (!redirects.has(answer.statusCode ?? 0) || location === undefined) return answer;
    answer.destroy();
    const fail = (why: string): PachError => new PachError('failed', { what: shownUrl(url), why });
    if (count === redirectsMax) throw fail(`it is redirected more than ${redirectsMax} times`);
    const next = URL.canParse(location, at.href) ? new URL(location, at.href) : undefined;
    if (!next) throw fail('it is redirected to an invalid address');
    if (!/^https?:$/.test(next.protocol)) throw fail(`it is redirected to ${next.protocol}, which is not followed`);
    if (at.protocol === 'https:' && next.protocol === 'http:') {
      throw fail(`it is redirected from https to http (${shownUrl(next)}), which is not followed`);
    }
    at = next;
  }
}

async function send(
  url: URL,
  headers: Record<string, string>,
  { signal, idleMs }: { signal: AbortSignal; idleMs: number },
): Promise<IncomingMessage> {
  const shown = shownUrl(url);
  const isSecure = url.protocol === 'https:';
  // Loaded here, since it takes longer than many a command that needs neither.
  const { request: begin } = process.getBuiltinModule(isSecure ? 'node:https' : 'node:http');
  const agents = await theAgents();
  return new Promise((resolve, reject) => {
    const options = { headers, signal, agent: isSecure ? agents?.https : agents?.http };
    const request = begin(url, options);
    request.setTimeout(idleMs, () => request.destroy(silence(idleMs)));
    request.on('error', (error) => reject(fromNetwork(shown, error)));
    request.on('response', (answer) => {
      request.setTimeout(0); // from here on the reader sets the pace
      resolve(answer);
    });
    request.end();
  });
}

let agentsOnce: Promise<Agents | undefined> | undefined;

/** One set of agents for all requests to the web, so that connections are reused; undefined for Node's own. */
export function theAgents(): Promise<Agents | undefined> {
  agentsOnce ??= (async () => {
    const { agentsFor, networkOf } = await import('../store/network.ts');
    const { rootCertificates } = process.getBuiltinModule('node:tls');
    const network = await networkOf();
    if (network.isPlain) return undefined;
    // In addition to the usual authorities: not only servers of the company are read.
    const trusted = network.authorities && { ca: [...rootCertificates, network.authorities.pem] };
    return agentsFor(network, { keepAlive: true, ...trusted });
  })();
  return agentsOnce;
}

async function* bodyOf(answer: IncomingMessage, shown: string, idleMs: number): AsyncGenerator<Uint8Array> {
  const pieces = answer[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  try {
    for (;;) {
      // The timer runs only while the reader waits: otherwise a silent connection is no fault.
      const timer = setTimeout(() => answer.destroy(silence(idleMs)), idleMs);
      const next = await pieces.next().finally(() => clearTimeout(timer));
      if (next.done) return;
      yield next.value;
    }
  } catch (error) {
    throw fromNetwork(shown, error as Error);
  } finally {
    answer.destroy();
  }
}

function silence(idleMs: number): Error {
  return new Error(`no answer for ${Math.ceil(idleMs / 1000)} s`);
}

function fromNetwork(shown: string, cause: NodeJS.ErrnoException & ThroughProxy): PachError {
  const { proxy } = cause;
  const why = `${cause.code ?? cause.message}${proxy === undefined ? '' : `, through the proxy ${proxy}`}`;
  if (cause.code === 'EPROXY') return refusedByProxy(shown, cause);
  if (cause.code !== undefined && lasting.test(cause.code)) {
    const next =
      'check that the server supports this scheme; to trust another certificate authority, set AWS_CA_BUNDLE to its file';
    return new PachError('failed', {
      what: shown,
      why: `the server's answer is not trusted or not understood (${why})`,
      next,
      cause,
    });
  }
  return new PachError('unreachable', { what: shown, why: `the connection failed (${why})`, cause });
}

function refusedByProxy(shown: string, cause: Error): PachError {
  const next = 'check HTTPS_PROXY and the name and password in it; NO_PROXY names servers that are reached without it';
  return new PachError('denied', { what: shown, why: cause.message, next, cause });
}

function refused(shown: string, status: number): PachError {
  const why = `the server answered ${status}`;
  if (status === 404 || status === 410) return new PachError('not-found', { what: shown, why });
  if (status === 401 || status === 403) return new PachError('denied', { what: shown, why });
  return new PachError(passing.has(status) ? 'unreachable' : 'failed', { what: shown, why });
}
