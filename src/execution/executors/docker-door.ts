/**
 * The socket at which a worker waits for its launcher, once: what runs in the container later finds
 * nobody there.
 */
import type { Socket } from 'node:net';
import { listenAt } from '../../base/unix-socket.ts';

export interface Door extends AsyncDisposable {
  /** The first that comes; nobody else is let in. Never settles when nobody does. */
  readonly visitor: Promise<Socket>;
}

/** Waits at the unix socket `path`, which must not be there yet. */
export async function openDoor(path: string): Promise<Door> {
  let enter: (socket: Socket) => void = () => undefined;
  const first = new Promise<Socket>((resolve) => {
    enter = resolve;
  });
  const listener = await listenAt(path, (socket) => enter(socket));
  const visitor = first.then(async (socket) => {
    await listener.close();
    return socket;
  });
  return { visitor, [Symbol.asyncDispose]: () => listener.close() };
}
