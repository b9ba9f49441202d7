/**
 * Removing folders with all in them. The native side walks them by descriptors: it follows no link,
 * even if somebody swaps a folder for one meanwhile, and enters no other mount. It also removes folders
 * whose owner took rights away, and those that lie deeper than a path can name.
 */
import { native } from './native.ts';

const slash = 0x2f;

/**
 * Removes a file, a link itself, or a folder with all in it. What isn't there is no error. Links on the
 * way to it are followed: see `removeOne`. Throws the system's error for what can't be removed.
 */
export function removeTree(path: Buffer): void {
  native().remove(...split(path), 'tree');
}

/** The same, off the main thread. */
export async function removeTreeAsync(path: string): Promise<void> {
  await native().removeAsync(...split(Buffer.from(path)), 'tree');
}

/** Removes what lies below a folder, which stays, and its extended attributes. Throws ENOTDIR when it is a link. */
export function emptyFolder(path: Buffer): void {
  native().remove(withoutSlash(path), Buffer.alloc(0), 'contents');
}

/**
 * Removes a file, a link itself or an empty folder at a relative path below a folder, off the main thread; a
 * folder with something in it stays. Throws ENOTDIR when the folder is a link, unless its path ends with a
 * slash, or one on the way from it.
 */
export async function removeOne(folder: string, path: string): Promise<void> {
  await native().removeAsync(Buffer.from(folder), Buffer.from(path), 'single');
}

/** The folder that a path lies in, with a slash at its end so that it may be a link, and the name. */
function split(path: Buffer): [Buffer, Buffer] {
  const whole = withoutSlash(path);
  const end = whole.lastIndexOf(slash) + 1;
  return [end === 0 ? Buffer.from('./') : whole.subarray(0, end), whole.subarray(end)];
}

function withoutSlash(path: Buffer): Buffer {
  let end = path.length;
  while (end > 1 && path[end - 1] === slash) end -= 1;
  return path.subarray(0, end);
}
