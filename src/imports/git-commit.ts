/**
 * A commit of git, and how a commit here says which one it was: by the last line of its message, as
 * other tools that carry histories do.
 */
import { textOfName } from '../model/paths.ts';

export interface GitCommit {
  readonly id: string;
  readonly author: string;
  /** Milliseconds since 1970. */
  readonly authored: number;
  readonly committed: number;
  readonly message: string;
}

/** Longer messages are cut. */
const messageMax = 64 * 1024;

/** The raw object. What it does not say is empty, or 1970. */
export function parseCommit(id: string, object: Buffer): GitCommit {
  const end = object.indexOf('\n\n');
  const head = (end < 0 ? object : object.subarray(0, end)).toString('latin1').split('\n');
  const field = (name: string): string =>
    head.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1) ?? '';
  const encoding = field('encoding');
  const text = (bytes: Buffer): string => decoded(bytes, encoding);
  const [author, authored] = personOf(field('author'));
  const [, committed] = personOf(field('committer'));
  return {
    id,
    author: text(Buffer.from(author, 'latin1')),
    authored,
    committed,
    message: text(end < 0 ? Buffer.alloc(0) : object.subarray(end + 2))
      .trim()
      .slice(0, messageMax),
  };
}

/** Name and address, and when, of `NAME <ADDRESS> SECONDS ZONE`. */
function personOf(line: string): [string, number] {
  const [, person = line, seconds = '0'] = /^(.*>) (-?\d+)(?: [-+]\d+)?$/.exec(line) ?? [];
  const ms = Number(seconds) * 1000;
  return [person, Number.isSafeInteger(ms) ? Math.max(0, ms) : 0];
}

function decoded(bytes: Buffer, encoding: string): string {
  if (encoding !== '') {
    try {
      return new TextDecoder(encoding).decode(bytes);
    } catch {
      // An encoding that nobody knows: as if there were none.
    }
  }
  return textOfName(bytes).replaceAll(/[\udc80-\udcff]/gu, '\ufffd');
}

const commitLine = /(?:^|\n)Git-Commit: ([0-9a-f]{40}(?:[0-9a-f]{24})?)\n?$/;
const missingLine = /(?:^|\n)Missing-Files: (\d+)\nGit-Commit: [0-9a-f]+\n?$/;

/** The message of the commit here. */
export function messageOf({ id, message }: GitCommit, missing: number): string {
  const lines = [...(missing > 0 ? [`Missing-Files: ${missing}`] : []), `Git-Commit: ${id}`].join('\n');
  return message === '' ? lines : `${message}\n\n${lines}`;
}

/** Which commit of git a commit here was, and how many files it lacks; undefined where it was not imported. */
export function importedFrom(message: string): { readonly id: string; readonly missing: number } | undefined {
  const id = commitLine.exec(message)?.[1];
  return id === undefined ? undefined : { id, missing: Number(missingLine.exec(message)?.[1] ?? 0) };
}
