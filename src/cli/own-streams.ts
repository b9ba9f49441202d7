/**
 * The streams of this process, lent to a command that somebody works with: a terminal where standard
 * input and output are one, pipes otherwise. What the command prints is passed on as it is.
 */
import { write } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Connection } from '../app/debug.ts';

/** For a pipe of others that does not let writers wait. */
const fullPipeMs = 5;

const writeTo = promisify(write);

/** True where a person sits at a terminal, and a command can be given one. */
export function isTerminal(): boolean {
  return process.stdin.isTTY && process.stdout.isTTY;
}

/** Until it is disposed of, what is typed goes to the command: Ctrl-C too. */
export function connectOwn(): Connection {
  const { stdin, stdout } = process;
  const terminal = isTerminal() ? stdout : undefined;
  if (terminal) stdin.setRawMode(true);
  return {
    streams: {
      input: stdin,
      terminal,
      write: (bytes, to) => writeAll(to === 'output' ? 1 : 2, bytes),
    },
    env: terminal ? { TERM: process.env['TERM'] ?? 'dumb' } : {},
    [Symbol.dispose]() {
      if (terminal) stdin.setRawMode(false);
      stdin.pause();
    },
  };
}

/** Not by way of the process's streams: what a reader who is gone means is for the command to hear. */
async function writeAll(fd: number, bytes: Buffer): Promise<void> {
  for (let from = 0; from < bytes.length;) {
    try {
      const { bytesWritten } = await writeTo(fd, bytes, from, bytes.length - from);
      from += bytesWritten;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      await pause(fullPipeMs);
    }
  }
}
