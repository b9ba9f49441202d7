/**
 * Ports of this machine's loopback interface that lead to ports of a command, for a debugger that waits
 * there. Whoever opens them closes them; while no command runs, connections are refused.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { PachError } from '../base/errors.ts';
import type { TaskPorts } from '../execution/executor.ts';

const loopback = '127.0.0.1';

export interface ForwardedPort {
  /** On this machine; 0: one that is free. */
  readonly here: number;
  /** Of the command. */
  readonly there: number;
}

/** `PORT` or `HERE:THERE`. Throws `usage`. */
export function portOf(text: string): ForwardedPort {
  const [, here = '', there = here] = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = { here: Number(here), there: Number(there) };
  if (here !== '' && port.here <= 65_535 && port.there >= 1 && port.there <= 65_535) return port;
  throw new PachError('usage', {
    what: `--port ${text}`,
    why: 'it takes a port, or one of this machine and that of the command',
    next: 'for example --port 5678 or --port 8000:5678',
  });
}

export class ForwardedPorts implements TaskPorts, AsyncDisposable {
  private readonly servers: Server[] = [];
  private readonly sockets = new Set<Socket>();
  private relay: ((connection: Duplex, port: number) => void) | undefined;

  private constructor() {}

  /** Listens. `isShared`: commands have this machine's network, so the same port needs nobody in between. Tells where they lead. */
  static async open(
    ports: readonly ForwardedPort[],
    isShared: boolean,
    note: (line: string) => void,
  ): Promise<ForwardedPorts> {
    const forwarded = new ForwardedPorts();
    try {
      for (const port of ports) await forwarded.listen(port, isShared, note);
      return forwarded;
    } catch (error) {
      await forwarded[Symbol.asyncDispose]();
      throw error;
    }
  }

  serve(relay: ((connection: Duplex, port: number) => void) | undefined): void {
    this.relay = relay;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.servers.splice(0).map((server) => new Promise<void>((done) => server.close(() => done())));
    for (const socket of this.sockets) socket.destroy();
    await Promise.all(closed);
  }

  private async listen(port: ForwardedPort, isShared: boolean, note: (line: string) => void): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      if (this.relay) this.relay(socket, port.there);
      else socket.destroy();
    });
    await new Promise<void>((listening, failed) => {
      server.once('error', failed);
      server.listen({ host: loopback, port: port.here, exclusive: true }, listening);
    }).catch((error: unknown) => {
      throw notListening(port, error);
    });
    if (isShared && port.here === port.there) {
      // The command takes it: here it was only looked whether it is free.
      await new Promise((closed) => server.close(closed));
      note(`port ${port.there} of the command is that of this machine, since they have one network`);
      return;
    }
    this.servers.push(server);
    const address = server.address();
    const here = typeof address === 'object' && address ? address.port : port.here;
    note(`${loopback}:${here} leads to port ${port.there} of the command`);
  }
}

function notListening({ here, there }: ForwardedPort, error: unknown): PachError {
  const what = `port ${here}`;
  const { code, message } = error as NodeJS.ErrnoException;
  const next = `--port 0:${there} takes one that is free`;
  if (code === 'EADDRINUSE') return new PachError('conflict', { what, why: 'another program listens there', next });
  if (code === 'EACCES') return new PachError('denied', { what, why: 'only root may listen there', next });
  return new PachError('failed', { what, why: message });
}
