/**
 * Requests to one API server: who asks, kept connections, and what a failure means.
 */
import { request as plainRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as secureRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { PachError } from '../../base/errors.ts';
import { refused, statusOf, unreachable } from './errors.ts';
import { logIn, readKubeconfig, type ClusterChoice, type KubeAccess, type Login } from './kubeconfig.ts';

/** A server that says nothing for so long is taken for gone. */
const silenceMsMax = 30_000;
/** How long a login is used. Its program, or the file of its token, may have news then. */
const loginMs = 30_000;
/** Of a request that the server puts off, or that meets a closed connection. */
const triesMax = 5;
const retryAfterSecondsMax = 5;
/** No answer is larger: a list of 10,000 pods has 100 MB. */
const answerBytesMax = 256 << 20;

export type Query = Readonly<Record<string, string | readonly string[] | undefined>>;

export interface Request {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  /** The object or collection, as messages name it. */
  readonly what: string;
  readonly query?: Query | undefined;
  readonly body?: unknown;
  /** Of the body. */
  readonly type?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How long the server may say nothing, when other than usual. */
  readonly silenceMs?: number | undefined;
}

export class Connection implements Disposable {
  readonly context: string;
  readonly namespace: string;
  readonly server: string;
  private readonly choice: ClusterChoice;
  private access: KubeAccess;
  private login: { readonly made: Promise<Login>; readonly at: number } | undefined;

  private constructor(choice: ClusterChoice, access: KubeAccess) {
    ({ context: this.context, namespace: this.namespace, server: this.server } = access);
    this.choice = { ...choice, context: access.context, namespace: access.namespace };
    this.access = access;
  }

  /** Nothing is asked of the cluster yet. */
  static async open(choice: ClusterChoice): Promise<Connection> {
    return new Connection(choice, await readKubeconfig(choice));
  }

  [Symbol.dispose](): void {
    void this.login?.made.then(({ agent }) => agent.destroy()).catch(() => undefined);
  }

  /** The answer as a value. */
  async json(ask: Request): Promise<unknown> {
    return JSON.parse((await readAll(this, ask, await this.send(ask))).toString('utf8'));
  }

  /** Resolves to a successful answer as soon as it begins; whoever has it reads or destroys it. */
  async send(ask: Request): Promise<IncomingMessage> {
    let renewed = false;
    for (let tries = 1; ; tries++) {
      const login = await this.logIn();
      const answer = await this.attempt(ask, login);
      const { statusCode: status = 0, headers } = answer;
      if (status < 300) return answer;
      const said = statusOf((await readAll(this, ask, answer)).toString('utf8'));
      if (status === 401 && !renewed) {
        // Somebody may have logged in again since the kubeconfig was read.
        renewed = true;
        await this.readAgain(login);
        continue;
      }
      // The server has not begun with it, so it may be sent again.
      if ((status === 429 || status === 503) && tries < triesMax) {
        const seconds = Math.min(Number(headers['retry-after'] ?? 1) || 1, retryAfterSecondsMax);
        await delay(seconds * 1000, undefined, { signal: ask.signal });
        continue;
      }
      throw refused(this, ask.what, status, said);
    }
  }

  /** The URL and the credentials with which a stream of both directions is opened. */
  async upgrade(path: string, query: Query): Promise<{ url: string; login: Login }> {
    return { url: `${this.server.replace(/^http/, 'ws')}${path}${searchOf(query)}`, login: await this.logIn() };
  }

  private async attempt(ask: Request, login: Login): Promise<IncomingMessage> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.once(ask, login);
      } catch (error) {
        ask.signal?.throwIfAborted();
        // The server may close a kept connection just when it is used again.
        if (error instanceof StaleConnection && ask.method !== 'POST' && tries < triesMax) continue;
        throw unreachable(this, error);
      }
    }
  }

  private once(ask: Request, { agent, headers }: Login): Promise<IncomingMessage> {
    const url = `${this.server}${ask.path}${searchOf(ask.query ?? {})}`;
    const body = ask.body === undefined ? undefined : Buffer.from(JSON.stringify(ask.body));
    const sized = body && { 'Content-Type': ask.type ?? 'application/json', 'Content-Length': body.length };
    const { method, signal, silenceMs = silenceMsMax } = ask;
    const options: RequestOptions = {
      method,
      agent,
      headers: { Accept: 'application/json', ...headers, ...sized },
      timeout: silenceMs,
      ...(signal && { signal }),
    };
    return new Promise((resolve, reject) => {
      const request = (url.startsWith('https:') ? secureRequest : plainRequest)(url, options, resolve);
      request.on('timeout', () => request.destroy(new Error(`it said nothing for ${silenceMs / 1000} s`)));
      request.on('error', (error: NodeJS.ErrnoException) => {
        const stale = request.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(error.code ?? '');
        reject(stale ? new StaleConnection(error.message, { cause: error }) : error);
      });
      request.end(body);
    });
  }

  private async logIn(): Promise<Login> {
    const now = performance.now();
    if (this.login === undefined || now - this.login.at > loginMs) {
      const before = this.login?.made;
      const made = this.renewed(before);
      this.login = { made, at: now };
      // A failed login is tried again by the next request.
      made.catch(() => {
        if (this.login?.made === made) this.login = undefined;
      });
    }
    return this.login.made;
  }

  /** Logs in again, and keeps the agent with its open connections while the credentials stay the same. */
  private async renewed(before: Promise<Login> | undefined): Promise<Login> {
    const old = await before?.catch(() => undefined);
    const login = await logIn(this.access);
    if (old === undefined || old.identity !== login.identity) return login;
    login.agent.destroy();
    return { ...login, agent: old.agent };
  }

  private async readAgain(seen: Login): Promise<void> {
    if (this.login !== undefined && (await this.login.made) !== seen) return;
    this.access = await readKubeconfig(this.choice);
    this.login = undefined;
  }
}

class StaleConnection extends Error {}

function searchOf(query: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value ?? []].flat()) search.append(name, one);
  }
  return search.size === 0 ? '' : `?${search.toString()}`;
}

async function readAll(connection: Connection, { what, signal }: Request, answer: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of answer as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > answerBytesMax)
        throw new PachError('failed', { what, why: 'the answer of the cluster is too large' });
      pieces.push(piece);
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof PachError ? error : unreachable(connection, error);
  }
  return Buffer.concat(pieces);
}
