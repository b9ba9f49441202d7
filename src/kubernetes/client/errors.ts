/**
 * What a refusal of the API server means to a user.
 */
import { PachError, type ErrorCode } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';

/** The cluster that was asked. */
export interface Asked {
  readonly context: string;
  readonly server: string;
}

/** The body of a refusal. */
export interface Status {
  readonly message?: string;
  readonly reason?: string;
  readonly details?: { readonly name?: string; readonly kind?: string };
}

/** A proxy on the way may refuse with a page of its own. */
export function statusOf(body: string): Status {
  try {
    const status = JSON.parse(body) as Status;
    return typeof status === 'object' && status !== null ? status : {};
  } catch {
    const text = body.trim();
    return text === '' ? {} : { message: text.slice(0, 300) };
  }
}

/** The HTTP status that a refusal came with; kept as the cause of the error. */
export class Refused extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, body: Status) {
    super(body.message ?? `HTTP status ${status}`);
    this.status = status;
    this.reason = body.reason ?? '';
  }
}

/** The HTTP status with which the API server refused, or undefined when it did not. */
export function refusal(error: unknown): Refused | undefined {
  return error instanceof PachError && error.cause instanceof Refused ? error.cause : undefined;
}

/** `what` names the object or the collection that was asked for. */
export function refused({ context }: Asked, what: string, status: number, body: Status): PachError {
  const cause = new Refused(status, body);
  const says = cause.message;
  if (status === 401) {
    return new PachError('denied', {
      what: `context "${context}"`,
      why: 'the cluster does not know you: the credentials are wrong or have expired',
      next: `kubectl --context ${shellWord(context)} auth whoami`,
      cause,
    });
  }
  // A name that is not there: its namespace, when an object was to be made.
  if (status === 404 && body.details?.kind === 'namespaces') {
    const name = body.details.name ?? '';
    const next = `kubectl --context ${shellWord(context)} create namespace ${shellWord(name)}`;
    const why = `the cluster of context "${context}" has no such namespace`;
    return new PachError('not-found', { what: `namespace "${name}"`, why, next, cause });
  }
  return new PachError(codeOf(status, says), { what, why: says, next: adviceFor(status, says), cause });
}

function codeOf(status: number, says: string): ErrorCode {
  // What server-side apply says of an unknown field.
  if (says.includes('field not declared in schema')) return 'usage';
  switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return 'usage';
    case 403:
      return 'denied';
    case 404:
    case 410:
      return 'not-found';
    case 405:
    case 406:
      return 'unsupported';
    case 409:
      return 'conflict';
    default:
      return [408, 429, 502, 503, 504].includes(status) ? 'unreachable' : 'failed';
  }
}

function adviceFor(status: number, says: string): string | undefined {
  // Rights are missing; a policy of the cluster refuses with the same status.
  if (status === 403 && / cannot [a-z]+ resource /.test(says)) return 'pach help kubernetes';
  return undefined;
}

/** No answer at all. */
export function unreachable({ context, server }: Asked, error: unknown): PachError {
  const { code, message } = error as NodeJS.ErrnoException;
  const untrusted = /CERT|SIGNATURE|ERR_TLS|SELF_SIGNED/.test(code ?? '');
  return new PachError('unreachable', {
    what: `the cluster of context "${context}"`,
    why: untrusted ? `${server} is not trusted: ${message}` : `${server} does not answer: ${message || code}`,
    cause: error,
  });
}
