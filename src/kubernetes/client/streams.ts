/**
 * Streams in both directions through the API server: commands in a container, and its ports.
 */
import { Duplex, type Readable } from 'node:stream';
import type { WebSocket } from 'ws';
import { PachError } from '../../base/errors.ts';
import type { Connection, Query } from './connection.ts';
import { refused, statusOf, unreachable, type Status } from './errors.ts';

/** Numbers of the channels that one connection carries. */
const channel = { stdin: 0, stdout: 1, stderr: 2, status: 3, close: 255 } as const;
/** Of a forwarded port. */
const portChannel = { data: 0, error: 1 } as const;
/** The version that can say that standard input has ended. */
const execProtocol = 'v5.channel.k8s.io';
const forwardProtocol = 'v4.channel.k8s.io';
const openMsMax = 30_000;
const outputBytesMax = 64 << 20;
/** A half-closed connection can't be forwarded: it is closed when the other side has said nothing for so long. */
const halfClosedMs = 2000;

export interface ExecResult {
  /** The command's exit code. */
  readonly code: number;
  readonly output: Buffer;
  readonly errors: Buffer;
}

export interface ExecOptions {
  readonly stdin?: Readable | Buffer | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Runs a command in a container. Throws what the API server or the node says when it can't be started. */
export async function execIn(
  connection: Connection,
  ask: { path: string; what: string; container: string; argv: readonly string[] },
  { stdin, signal }: ExecOptions,
): Promise<ExecResult> {
  const { path, what, container, argv } = ask;
  const wants = { stdout: 'true', stderr: 'true', stdin: String(stdin !== undefined) };
  const socket = await open(connection, { path, what, query: { ...wants, container, command: argv } }, execProtocol);
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  let bytes = 0;
  let status: ExecStatus | undefined;
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      socket.terminate();
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) stop();
    socket.on('message', (message: Buffer) => {
      const [number] = message;
      const data = message.subarray(1);
      if (number === channel.status) {
        status = JSON.parse(data.toString('utf8')) as ExecStatus;
        socket.close();
      } else if (number === channel.stdout || number === channel.stderr) {
        bytes += data.length;
        (number === channel.stdout ? output : errors).push(data);
        if (bytes > outputBytesMax) {
          reject(new PachError('failed', { what, why: `the command prints more than ${outputBytesMax} bytes` }));
          socket.terminate();
        }
      }
    });
    socket.on('error', (error) => reject(unreachable(connection, error)));
    socket.on('close', () => {
      signal?.removeEventListener('abort', stop);
      const code = status && codeOf(status);
      if (code !== undefined) {
        resolve({ code, output: Buffer.concat(output), errors: Buffer.concat(errors) });
      } else if (status === undefined) {
        reject(unreachable(connection, new Error('the connection to the container was closed')));
      } else {
        reject(refused(connection, what, status.code ?? 500, status));
      }
    });
    socket.resume();
    if (stdin !== undefined) feed(socket, stdin).catch(reject);
  });
}

interface ExecStatus extends Status {
  readonly status?: string;
  readonly code?: number;
  readonly details?: Status['details'] & { readonly causes?: readonly { reason?: string; message?: string }[] };
}

/** The exit code of a command that was started. */
function codeOf({ status, reason, details }: ExecStatus): number | undefined {
  if (status === 'Success') return 0;
  if (reason !== 'NonZeroExitCode') return undefined;
  return Number(details?.causes?.find((cause) => cause.reason === 'ExitCode')?.message);
}

async function feed(socket: WebSocket, stdin: Readable | Buffer): Promise<void> {
  for await (const piece of stdin instanceof Buffer ? [stdin] : stdin) {
    if (socket.readyState !== socket.OPEN) return;
    await sent(socket, channel.stdin, Buffer.from(piece as Uint8Array));
  }
  if (socket.readyState === socket.OPEN) socket.send(Buffer.from([channel.close, channel.stdin]));
}

function framed(number: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([number]), data]);
}

/** Resolves when the kernel has it. */
function sent(socket: WebSocket, number: number, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(framed(number, data), (error) => (error ? reject(error) : resolve()));
  });
}

/** A connection to a port of a pod. */
export async function forwardTo(
  connection: Connection,
  { path, what, port }: { path: string; what: string; port: number },
): Promise<Duplex> {
  const socket = await open(connection, { path, what, query: { ports: String(port) } }, forwardProtocol);
  return new ForwardedPort(connection, socket, { what, port });
}

class ForwardedPort extends Duplex {
  private readonly socket: WebSocket;
  /** Channels whose first message, the port's number, has come. */
  private readonly begun = new Set<number>();
  private halfClosed: NodeJS.Timeout | undefined;

  constructor(connection: Connection, socket: WebSocket, { what, port }: { what: string; port: number }) {
    super();
    this.socket = socket;
    socket.on('message', (message: Buffer) => {
      const number = message[0] ?? portChannel.error;
      const data = message.subarray(this.begun.has(number) ? 1 : 3);
      this.begun.add(number);
      if (data.length === 0) return;
      if (number === portChannel.error) {
        const text = data.toString('utf8').trim();
        const why = text.includes('connection refused') ? `nothing listens on port ${port}` : text;
        this.destroy(new PachError('unreachable', { what, why }));
      } else {
        this.halfClosed?.refresh();
        if (!this.push(data)) socket.pause();
      }
    });
    socket.on('error', (error) => this.destroy(unreachable(connection, error)));
    socket.on('close', () => {
      this.push(null);
      this.end();
    });
    socket.resume();
  }

  override _read(): void {
    this.socket.resume();
  }

  override _write(data: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.socket.readyState !== this.socket.OPEN) done(new Error('the forwarded connection is closed'));
    else this.socket.send(framed(portChannel.data, data), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.socket.readyState === this.socket.OPEN) {
      this.halfClosed = setTimeout(() => this.socket.close(), halfClosedMs);
    }
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.halfClosed);
    this.socket.terminate();
    done(error);
  }
}

/** Throws what the API server says when it refuses. */
async function open(
  connection: Connection,
  { path, what, query }: { path: string; what: string; query: Query },
  protocol: string,
): Promise<WebSocket> {
  const { WebSocket: Socket } = await import('ws');
  const { url, login } = await connection.upgrade(path, query);
  return new Promise((resolve, reject) => {
    const { agent, headers } = login;
    const socket = new Socket(url, [protocol], { agent, headers, handshakeTimeout: openMsMax });
    socket.once('open', () => {
      socket.removeAllListeners();
      // What comes before the caller listens is kept; the caller resumes it.
      socket.pause();
      resolve(socket);
    });
    socket.once('error', (error) => reject(unreachable(connection, error)));
    socket.once('unexpected-response', (_request, answer) => {
      let body = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece: string) => (body += piece));
      answer.on('close', () => reject(refused(connection, what, answer.statusCode ?? 500, statusOf(body))));
      answer.on('error', () => undefined);
    });
  });
}
