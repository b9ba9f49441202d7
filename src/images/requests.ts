/**
 * Requests to a registry, with what it asks for: nothing, a name and a password, or a token that a
 * service gives. What is stored elsewhere is read where the registry sends for it, without them.
 */
import type { IncomingHttpHeaders, IncomingMessage, RequestOptions } from 'node:http';
import { isIP } from 'node:net';
import { PachError, type ErrorCode } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { theAgents } from '../sources/http.ts';
import type { ThroughProxy } from '../store/network.ts';
import { credentialsFor, type FoundCredentials } from './credentials.ts';

export interface RegistryOptions {
  /** The folder of the settings of Docker's client: DOCKER_CONFIG, or ~/.docker. */
  readonly dockerConfig: string;
  /** Registries beside this machine's own that are reached by plain HTTP: `host:port`. */
  readonly plainHttp?: readonly string[] | undefined;
}

export interface RegistryAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Message {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/** Manifests, configurations and tokens are small: more is something else. */
const bytesMax = 16 * 1024 * 1024;
const silenceMsMax = 30_000;
const redirectsMax = 5;
const dockerHubAddress = 'registry-1.docker.io';

export interface RegistryTask {
  readonly registry: string;
  readonly repository: string;
  readonly does: 'pull' | 'push';
  /** What errors are about: `image debian:12`. */
  readonly what: string;
}

/** The way to one registry, for one task. */
export class RegistryWay {
  /** What was looked up, once the registry has asked for credentials. */
  found: FoundCredentials | undefined;
  private readonly task: RegistryTask;
  private readonly options: RegistryOptions;
  private readonly base: string;
  private authorization: string | undefined;

  constructor(task: RegistryTask, options: RegistryOptions) {
    const { registry } = task;
    this.task = task;
    this.options = options;
    const host = registry === 'docker.io' ? dockerHubAddress : registry;
    const isPlain = isLoopback(registry) || options.plainHttp?.includes(registry) === true;
    this.base = `${isPlain ? 'http' : 'https'}://${host}`;
  }

  /** `path` is below the repository, or an address that the registry gave. Resolves whatever the registry answers. Throws `unreachable`, `denied` or `failed` where it gives no answer. */
  async ask(path: string, message: Message): Promise<RegistryAnswer> {
    const url = new URL(path, `${this.base}/v2/${this.task.repository}/`);
    let answer = await this.follow(url, message);
    if (answer.status === 401 && (await this.authorize(answer.headers['www-authenticate'] ?? ''))) {
      answer = await this.follow(url, message);
    }
    return answer;
  }

  /** The credentials are for the registry: whoever it refers to for bytes does not get them. */
  private async follow(url: URL, message: Message): Promise<RegistryAnswer> {
    let at = url;
    for (let count = 0; ; count += 1) {
      const own = at.origin === new URL(this.base).origin ? this.authorization : undefined;
      const headers = { ...message.headers, ...(own !== undefined && { authorization: own }) };
      const answer = await this.send(at, { ...message, headers });
      const { location } = answer.headers;
      const isRedirect = message.method === 'GET' && [301, 302, 303, 307, 308].includes(answer.status);
      if (!isRedirect || location === undefined || count === redirectsMax) return answer;
      const next = new URL(location, at);
      if (at.protocol === 'https:' && next.protocol !== 'https:') {
        throw this.error('failed', 'redirects to an address that is not https');
      }
      at = next;
    }
  }

  /** Sees to what the registry has asked for; false when that can't be had. */
  private async authorize(challenge: string): Promise<boolean> {
    const [, scheme = '', rest = ''] = /^(\w+)\s*(.*)$/s.exec(challenge) ?? [];
    this.found ??= await credentialsFor(this.task.registry, this.options.dockerConfig);
    const { credentials } = this.found;
    const basic =
      credentials && 'user' in credentials
        ? `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`
        : undefined;
    if (scheme.toLowerCase() === 'basic') {
      const isNew = basic !== undefined && basic !== this.authorization;
      this.authorization = basic;
      return isNew;
    }
    if (scheme.toLowerCase() !== 'bearer') return false;
    const named = new Map([...rest.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]));
    const realm = named.get('realm') ?? '';
    const url = URL.canParse(realm) ? new URL(realm) : undefined;
    if (!url || (url.protocol !== 'https:' && !this.base.startsWith('http:'))) {
      throw this.error('failed', 'sends for tokens to an address that is not https');
    }
    const { repository, does } = this.task;
    const asked = {
      service: named.get('service') ?? '',
      scope: `repository:${repository}:${does === 'push' ? 'pull,push' : 'pull'}`,
    };
    let answer: RegistryAnswer;
    if (credentials && 'identityToken' in credentials) {
      const form = {
        ...asked,
        grant_type: 'refresh_token',
        client_id: 'pach',
        refresh_token: credentials.identityToken,
      };
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      answer = await this.send(url, {
        method: 'POST',
        headers,
        body: Buffer.from(new URLSearchParams(form).toString()),
      });
    } else {
      for (const [key, value] of Object.entries(asked)) url.searchParams.set(key, value);
      answer = await this.send(url, { method: 'GET', headers: basic === undefined ? {} : { authorization: basic } });
    }
    const given = jsonOf(answer.body) as { readonly token?: unknown; readonly access_token?: unknown } | undefined;
    const token = given?.token ?? given?.access_token;
    if (answer.status !== 200 || typeof token !== 'string') return false;
    this.authorization = `Bearer ${token}`;
    return true;
  }

  /** What an answer means that is not the one asked for. */
  refusal({ status, body }: RegistryAnswer): PachError {
    const { registry, does } = this.task;
    const { errors: [first] = [] } = (jsonOf(body) ?? {}) as { errors?: { code?: string; message?: string }[] };
    const word = [status, first?.code, first?.message].filter(Boolean).join(' ');
    if (status === 404 && does === 'pull') {
      const next = 'check the name and the tag; an image of this machine alone has to be pushed first (docker push)';
      return this.error('not-found', `has no such image (${word})`, { next });
    }
    if (status === 401 || status === 403) {
      const { credentials, problem } = this.found ?? {};
      const known =
        does === 'push' ? 'takes it from known users only' : 'gives it to known users only, or has no such image';
      const why = credentials
        ? `refuses the user of its credentials, or has no such image`
        : `${known}, and ${problem}`;
      const next = `docker login${registry === 'docker.io' ? '' : ` ${shellWord(registry)}`}`;
      return this.error('denied', `${why} (${word})`, { next });
    }
    const code = status === 429 || status >= 500 ? 'unreachable' : 'failed';
    return this.error(code, `answers ${word}`, { next: 'try again later' });
  }

  private async send(url: URL, message: Message): Promise<RegistryAnswer> {
    try {
      return await send(url, message);
    } catch (error) {
      throw this.failure(url, error as NodeJS.ErrnoException & ThroughProxy);
    }
  }

  private failure(url: URL, cause: NodeJS.ErrnoException & ThroughProxy): PachError {
    const { code = '', message, proxy } = cause;
    const word = `${code || message}${proxy === undefined ? '' : `, through the proxy ${proxy}`}`;
    const more = (next: string) => ({ next, cause });
    if (code === 'EPROXY') {
      return this.error('denied', `can't be reached: ${message}`, more('check HTTPS_PROXY and NO_PROXY'));
    }
    if (code === 'EPROTO' || code === 'ERR_SSL_WRONG_VERSION_NUMBER') {
      return this.error(
        'failed',
        `does not speak TLS (${word})`,
        more(`for one without TLS: --image-registry http://${url.host}`),
      );
    }
    if (/^(?:ERR_TLS_|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_)/.test(code)) {
      const next = 'to trust another certificate authority, set AWS_CA_BUNDLE to its file';
      return this.error('failed', `has a certificate that is not trusted (${word})`, more(next));
    }
    return this.error('unreachable', `does not answer (${word})`, more('check the address and the network'));
  }

  private error(
    code: ErrorCode,
    why: string,
    more: { next: string; cause?: unknown } = { next: 'ask who runs the registry' },
  ): PachError {
    const { registry, what } = this.task;
    return new PachError(code, { what, why: `the registry ${registry} ${why}`, ...more });
  }
}

/** What JSON says; undefined for what is none. */
export function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

function isLoopback(registry: string): boolean {
  const host = registry.replace(/:\d+$/, '').replaceAll(/[[\]]/g, '');
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

async function send(url: URL, { method, headers = {}, body }: Message): Promise<RegistryAnswer> {
  const isSecure = url.protocol === 'https:';
  const { request: begin } = process.getBuiltinModule(isSecure ? 'node:https' : 'node:http');
  const agents = isLoopback(url.host) ? undefined : await theAgents();
  const options: RequestOptions = {
    method,
    // One connection each: a kept one may be closed by the registry as it is used again.
    headers: {
      'user-agent': 'pachmount',
      connection: 'close',
      ...headers,
      ...(body && { 'content-length': String(body.length) }),
    },
    agent: isSecure ? agents?.https : agents?.http,
  };
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = begin(url, options, resolve);
    request.setTimeout(silenceMsMax, () => request.destroy(new Error(`no answer for ${silenceMsMax / 1000} s`)));
    request.on('error', reject).end(body);
  });
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > bytesMax) throw new Error('its answer is too long');
    pieces.push(piece);
  }
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(pieces) };
}
