/**
 * Services of a cluster at ports of this machine's loopback interface, for commands that run here, while
 * whoever opened them has them open.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { PachError } from '../base/errors.ts';
import { Cluster } from '../kubernetes/client/cluster.ts';
import type { ClusterChoice } from '../kubernetes/client/kubeconfig.ts';
import { Service } from '../kubernetes/service.ts';
import { loopback, type ServiceUse } from './services-here.ts';

const portMax = 65_535;

export class ForwardedServices implements AsyncDisposable {
  /** Where each leads, for people. */
  readonly lines: string[] = [];
  private readonly note: (line: string) => void;
  private readonly clusters: Cluster[] = [];
  private readonly servers: Server[] = [];
  private readonly streams = new Set<Duplex>();
  private noted = '';

  private constructor(note: (line: string) => void) {
    this.note = note;
  }

  /**
   * Listens, once the cluster has said that each service is there. `note` is told of a connection that
   * did not get through; the next one is tried anew.
   */
  static async open(
    uses: readonly ServiceUse[],
    choice: ClusterChoice,
    note: (line: string) => void,
  ): Promise<ForwardedServices> {
    const forwarded = new ForwardedServices(note);
    try {
      for (const use of uses) await forwarded.add(use, choice);
      return forwarded;
    } catch (error) {
      await forwarded[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.servers.splice(0).map((server) => new Promise<void>((done) => server.close(() => done())));
    for (const stream of this.streams) stream.destroy();
    await Promise.all(closed);
    for (const cluster of this.clusters.splice(0)) cluster[Symbol.dispose]();
  }

  private async add(use: ServiceUse, choice: ClusterChoice): Promise<void> {
    const { name, namespace, port, here } = use;
    const cluster = await Cluster.open(namespace === undefined ? choice : { ...choice, namespace });
    this.clusters.push(cluster);
    const service = new Service(cluster, { name, port });
    await service.check();
    // Nothing is read before there is somewhere to send it, and each side may end before the other.
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      void this.connect(socket, service);
    });
    await new Promise<void>((listening, failed) => {
      server.once('error', failed);
      server.listen({ host: loopback, port: here, exclusive: true }, listening);
    }).catch((error: unknown) => {
      throw notListening(use, error);
    });
    this.servers.push(server);
    this.lines.push(`${loopback}:${here} leads to service ${name}:${port} of namespace ${cluster.namespace}`);
  }

  private async connect(socket: Socket, service: Service): Promise<void> {
    this.keep(socket);
    socket.on('error', () => undefined); // `close` follows
    try {
      const there = await service.connect();
      this.keep(there);
      if (socket.destroyed) return void there.destroy();
      there.on('error', (error) => this.broken(socket, service, error));
      socket.on('close', () => there.destroy());
      socket.pipe(there).pipe(socket);
    } catch (error) {
      this.broken(socket, service, error);
    }
  }

  /** The command sees a connection that was broken, not one that has ended well. */
  private broken(socket: Socket, { name, port }: Service, error: unknown): void {
    if (socket.destroyed) return;
    socket.resetAndDestroy();
    const line = `service ${name}:${port}: ${error instanceof Error ? error.message : String(error)}`;
    // A command may try again many times a second.
    if (line !== this.noted) this.note(line);
    this.noted = line;
  }

  private keep(stream: Duplex): void {
    this.streams.add(stream);
    stream.on('close', () => this.streams.delete(stream));
  }
}

function notListening({ text, here }: ServiceUse, error: unknown): PachError {
  const what = `--forward ${text}`;
  const { code, message } = error as NodeJS.ErrnoException;
  const other = here + 10_000 > portMax ? here - 10_000 : here + 10_000;
  const next = `--forward ${other}:${text.replace(/^\d+:/, '')}`;
  const taken = `something else listens on port ${here} of this machine`;
  if (code === 'EADDRINUSE') return new PachError('conflict', { what, why: taken, next });
  if (code === 'EACCES') return new PachError('denied', { what, why: `only root may listen on port ${here}`, next });
  return new PachError('failed', { what, why: message });
}
