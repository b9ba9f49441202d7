/**
 * A way to the API server that fails: a proxy on loopback that passes requests on, as an administrator,
 * until it is told to be away, to break its connections, or to say of a watch that its version is too old.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { request as secureRequest, type RequestOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { readKubeconfig } from '../../../src/kubernetes/client/kubeconfig.ts';
import { adminKubeconfig, changedKubeconfig } from './cluster.ts';

export interface Way extends AsyncDisposable {
  readonly kubeconfig: string;
  /** Paths of what came, in order. */
  readonly requests: string[];
  /** Watches that are open. */
  readonly watches: number;
  /** Refuses connections, and breaks those that are open, until it is back. */
  away(): Promise<void>;
  back(): Promise<void>;
  /** Breaks what is open. */
  cut(): void;
  /** Tells each open watch that the version it follows is gone. */
  tooOld(): void;
}

/** Without TLS, so that it may add to what the server says. */
export async function faultyWay(): Promise<Way> {
  const { config, server } = await readKubeconfig({ kubeconfig: adminKubeconfig() });
  const secured: RequestOptions = {};
  await config.applyToHTTPSOptions(secured);
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const watches = new Set<ServerResponse>();

  function pass(asked: IncomingMessage, answer: ServerResponse): void {
    requests.push(asked.url ?? '');
    const isWatch = asked.url?.includes('watch=1') === true;
    const { method, headers } = asked;
    const onward = secureRequest(`${server}${asked.url}`, { ...secured, method, headers }, (found) => {
      answer.writeHead(found.statusCode ?? 500, found.headers);
      // Before that nothing may be said in it.
      if (isWatch && !answer.destroyed) watches.add(answer);
      answer.flushHeaders();
      found.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    answer.on('close', () => {
      watches.delete(answer);
      onward.destroy();
    });
    asked.pipe(onward);
  }

  const way = createServer(pass);
  way.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const listen = (port: number): Promise<void> => new Promise((done) => way.listen(port, '127.0.0.1', done));
  await listen(0);
  const { port } = way.address() as AddressInfo;
  const changed = changedKubeconfig((file) => {
    file.clusters = file.clusters.map(({ name }) => ({ name, cluster: { server: `http://127.0.0.1:${port}` } }));
    file.users = file.users.map(({ name }) => ({ name, user: {} }));
  });
  const cut = (): void => sockets.forEach((socket) => socket.destroy());
  const away = async (): Promise<void> => {
    const closed = new Promise((done) => way.close(done));
    cut();
    await closed;
  };
  return {
    kubeconfig: changed.path,
    requests,
    get watches() {
      return watches.size;
    },
    away,
    back: () => listen(port),
    cut,
    tooOld() {
      const status = { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'Expired', code: 410 };
      for (const answer of watches) answer.write(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
    },
    async [Symbol.asyncDispose]() {
      if (way.listening) await away();
      changed[Symbol.dispose]();
    },
  };
}
