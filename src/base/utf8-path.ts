/**
 * Paths that Node can open by their text.
 */
import { PachError } from './errors.ts';

/** What bytes that are not UTF-8 look like: in the command line, and in the environment, where Node replaces them. */
const notUtf8 = /[\ud800-\udfff\ufffd]/u;

/** The same path. Throws `usage` where opening it would make or find a folder of another name. */
export function utf8Path(path: string): string {
  if (!notUtf8.test(path)) return path;
  throw new PachError('usage', {
    what: path,
    why: 'this path has bytes that are not UTF-8',
    next: 'use a folder with another name',
  });
}
