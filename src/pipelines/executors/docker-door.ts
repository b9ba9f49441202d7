/**
 * The socket at which a worker waits for its launcher, once: what runs in the container later finds
 * nobody there.
 */
import { open } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';

export interface Door extends AsyncDisposable {
  /** The first that comes; nobody else is let in. Never settles when nobody does. */
  readonly visitor: Promise<Socket>;
}

/** Waits at the unix socket `path`, which must not be there yet. */
export async function openDoor(path: string): Promise<Door> {
  // The kernel takes 107 bytes as the path of a socket, a slot's may be longer.
  const folder = await open(dirname(path));
  const server = createServer();
  let shut: Promise<void> | undefined;
  // The path goes with the server, found through the folder's descriptor.
  const close = (): Promise<void> => {
    shut ??= (server.close(), folder.close());
    return shut;
  };
  const visitor = new Promise<Socket>((resolve) => {
    server.once('connection', (socket) => void close().then(() => resolve(socket)));
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(`/proc/self/fd/${folder.fd}/${basename(path)}`, resolve);
    });
  } catch (error) {
    await close();
    throw error;
  }
  return { visitor, [Symbol.asyncDispose]: close };
}
