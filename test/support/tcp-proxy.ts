/**
 * A server that can be away: what connects to this machine's loopback is passed on to it, byte by byte, until
 * the server is away. Then connections break, and new ones too.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Connections that met nobody. */
  readonly refused: number;
  away(): void;
  back(): void;
}

export async function tcpProxy(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let isAway = false;
  let refused = 0;
  const cut = (): void => sockets.forEach((socket) => socket.resetAndDestroy());
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    if (isAway) {
      refused += 1;
      socket.resetAndDestroy();
      return;
    }
    const onward = connect({ ...target, allowHalfOpen: true });
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    get refused() {
      return refused;
    },
    away() {
      isAway = true;
      cut();
    },
    back() {
      isAway = false;
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((done) => server.close(done));
      cut();
      await closed;
    },
  };
}
