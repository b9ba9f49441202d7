/**
 * Unix sockets at paths of any length. The kernel takes 107 bytes of a path, and Node cuts off the rest
 * silently. So a socket is named through a descriptor of its folder.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';

export interface Listener {
  /** Stops listening and removes the socket; connections stay as they are. May be called again. */
  close(): Promise<void>;
}

/** Listens at `path`, where nothing may be yet. Throws the system's error. */
export async function listenAt(path: string, connected: (socket: Socket) => void): Promise<Listener> {
  const folder = await open(dirname(path));
  const server = createServer(connected);
  // The socket is removed by its path, which goes through the descriptor.
  const close = (): Promise<void> => {
    server.close();
    return folder.close();
  };
  try {
    await listening(server, through(folder, path));
  } catch (error) {
    await close();
    throw error;
  }
  return { close };
}

/** A connection to the server that listens at `path`. Throws the system's error where none does. */
export async function connectTo(path: string): Promise<Socket> {
  await using folder = await open(dirname(path));
  return await new Promise((resolve, reject) => {
    const socket = connect(through(folder, path));
    socket.once('error', reject).once('connect', () => resolve(socket.off('error', reject)));
  });
}

function through(folder: FileHandle, path: string): string {
  return `/proc/self/fd/${folder.fd}/${basename(path)}`;
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(path, () => resolve(void server.off('error', reject)));
  });
}
