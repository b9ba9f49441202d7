/**
 * The socket at which a worker waits for its launcher, once: what runs in the container later finds
 * nobody there.
 */
import type { Socket } from 'node:net';
import { listenAt } from '../../base/unix-socket.ts';

export interface LauncherListener extends AsyncDisposable {
  /** The first connection; later ones are refused. Never settles while nobody connects. */
  readonly connected: Promise<Socket>;
}

/** Waits at the unix socket `path`, which must not be there yet. */
export async function listenForLauncher(path: string): Promise<LauncherListener> {
  let enter: (socket: Socket) => void = () => undefined;
  const first = new Promise<Socket>((resolve) => {
    enter = resolve;
  });
  const listener = await listenAt(path, (socket) => enter(socket));
  const connected = first.then(async (socket) => {
    await listener.close();
    return socket;
  });
  return { connected, [Symbol.asyncDispose]: () => listener.close() };
}
