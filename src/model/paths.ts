/**
 * Paths and names as people write them. Names are bytes; as text, what of them is not UTF-8
 * appears as U+DC80 to U+DCFF, one for each byte, and comes back from there unharmed.
 */
import { isUtf8 } from 'node:buffer';
import { PachError } from '../base/errors.ts';
import { nameProblem } from './tree.ts';

const loneSurrogate = /[\ud800-\udfff]/u;
const escapeBase = 0xdc00;

/** Bytes of names or paths as text. */
export function textOfName(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString();
  let text = '';
  let valid = 0;
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at);
    if (length > 0) {
      at += length;
      continue;
    }
    text += bytes.toString('utf8', valid, at) + String.fromCharCode(escapeBase + (bytes[at] ?? 0));
    at += 1;
    valid = at;
  }
  return text + bytes.toString('utf8', valid);
}

/** Length of the valid UTF-8 sequence that begins at a byte; 0 when there is none. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  return at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)) ? length : 0;
}

/** The bytes that a text stands for. Throws `usage` for half a character that is no escape. */
export function nameOfText(text: string): Buffer {
  if (!loneSurrogate.test(text)) return Buffer.from(text);
  const parts: Buffer[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0xd800 || code > 0xdfff) parts.push(Buffer.from(character));
    else if (code >= escapeBase + 0x80 && code <= escapeBase + 0xff) parts.push(Buffer.from([code - escapeBase]));
    else throw new PachError('usage', { what: JSON.stringify(text), why: 'it is not well-formed Unicode' });
  }
  return Buffer.concat(parts);
}

/** The same for a text that may have been cut short: other halves of characters become U+FFFD. */
export function bytesOfText(text: string): Buffer {
  const isEscape = (half: string): boolean => half >= '\udc80' && half <= '\udcff';
  return nameOfText(text.replaceAll(/[\ud800-\udfff]/gu, (half) => (isEscape(half) ? half : '\ufffd')));
}

/**
 * The names on a path such as `/a/b`; slashes at its ends mean nothing here, and no names mean
 * the root. Throws `usage` for names that can't be.
 */
export function parsePath(text: string): Buffer[] {
  if (text === '' || text === '/') return [];
  const inner = text.replace(/^\//, '').replace(/\/$/, '');
  return inner.split('/').map((part) => {
    const name = nameOfText(part);
    const problem = nameProblem(name);
    if (!problem) return name;
    throw new PachError('usage', {
      what: `path ${JSON.stringify(text)}`,
      why: part === '' ? 'it has an empty name' : `the name ${JSON.stringify(part)} is not allowed: ${problem}`,
      next: 'write paths from the root of the repo, such as /a/b',
    });
  });
}

/** Names as an absolute path. */
export function pathOf(names: readonly Buffer[]): string {
  return `/${names.map(textOfName).join('/')}`;
}

/**
 * A path as people write it: `\udc80` to `\udcff` are bytes that are not UTF-8, as JSON has them.
 * Before such a thing a backslash is written as two.
 */
export function typedPath(text: string): string {
  return text.replaceAll(/(\\+)(udc([89a-f][0-9a-f]))/gi, (_, slashes: string, word: string, hex: string) => {
    const kept = slashes.slice(slashes.length - Math.floor(slashes.length / 2));
    return kept + (slashes.length % 2 === 1 ? String.fromCharCode(escapeBase + Number.parseInt(hex, 16)) : word);
  });
}

/** The same path for `typedPath`. */
export function writtenPath(path: string): string {
  return path.replaceAll(/\\+(?=udc[89a-f][0-9a-f])/gi, '$&$&');
}
