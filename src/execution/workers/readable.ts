/**
 * What an engine writes out for commands, which may run as another user than it does.
 */
import { chmodSync, lstatSync, readdirSync } from 'node:fs';
import { nameOfText } from '../../model/paths.ts';

const slash = Buffer.from('/');

/** Lets everybody read what lies at a path, where this process's umask keeps others from it. */
export function letRead(path: string): void {
  if ((process.umask() & 0o055) !== 0) openUp(nameOfText(path));
}

function openUp(path: Buffer): void {
  const info = lstatSync(path);
  if (info.isSymbolicLink()) return;
  const isFolder = info.isDirectory();
  chmodSync(path, isFolder || (info.mode & 0o100) !== 0 ? 0o755 : 0o644);
  if (!isFolder) return;
  for (const name of readdirSync(path, { encoding: 'buffer' })) openUp(Buffer.concat([path, slash, name]));
}
