/**
 * Where a command failed and why, told from what it printed: the line of code that somebody has to
 * look at, and the message. Knows the tracebacks of Python, Node, shells, Go and what else writes
 * `path:line:`.
 */
import { join } from 'node:path';
import type { DatumFailure } from '../execution/events.ts';

/** A pipeline's code: what lies at `from` on this machine is seen at `to`. */
export interface CodePlace {
  readonly from: string;
  readonly to: string;
}

export interface Failure {
  /** The innermost line in the pipeline's own code; undefined where none is named. */
  readonly at: { readonly path: string; readonly line: number } | undefined;
  /** `NameError: name 'x' is not defined`; empty where nothing was printed. */
  readonly message: string;
}

/** A line of a traceback. */
interface Frame {
  readonly number: number;
  readonly path: string;
  readonly line: number;
}

/** Python's frames go outside in, so the last one is the innermost. */
const python = /^\s*File "([^"]+)", line (\d+)/;
/** Node's go inside out. */
const node = /^\s+at (?:.* \()?(?:file:\/\/)?(\/[^():]+):(\d+):\d+\)?$/;
const others = [
  /^(\/[^:]+): line (\d+):/, // bash
  /^\s*(\/[^:\s]+):\s?(\d+)(?=[:\s]|$)/, // dash, gcc, Go, Node's own first line
  /\((\/[^():]+):(\d+)\)$/, // perl, Java
  / at (\/\S+) line (\d+)\.?$/, // perl
];

/** The same where it is known how the datum failed: a command that something ended could not print why. */
export function failureWith(how: DatumFailure, log: string, code: readonly CodePlace[]): Failure {
  const failure = failureOf(log, code);
  return hasEndedItself(how) ? failure : { ...failure, message: '' };
}

/** `abort` is the end of a program that has just told what is wrong. */
function hasEndedItself(how: DatumFailure): boolean {
  if (how.cause === 'said') return true;
  if (how.cause === 'output') return false;
  const { ending } = how;
  return ending.kind === 'exit' || (ending.kind === 'signal' && ending.signal === 'SIGABRT');
}

/** `log` is the end of what a command printed. */
export function failureOf(log: string, code: readonly CodePlace[]): Failure {
  const lines = log.replace(/\r/g, '').split('\n');
  const framesOf = (...forms: readonly RegExp[]): Frame[] =>
    lines.flatMap((text, number) => {
      const match = forms.map((form) => form.exec(text)).find((each) => each !== null);
      const path = match && localPath(match[1] ?? '', code);
      return path === undefined || path === null ? [] : [{ number, path, line: Number(match?.[2]) }];
    });
  const [inPython, inNode, elsewhere] = [framesOf(python), framesOf(node), framesOf(...others)];
  const innermost = inPython.at(-1) ?? firstOfLast(inNode) ?? elsewhere.at(-1);
  return {
    at: innermost && { path: innermost.path, line: innermost.line },
    message: messageOf(lines, { isPython: inPython.length > 0, isNode: inNode.length > 0 }),
  };
}

/** The file of this machine that a command saw at `path`; undefined for what is not the pipeline's code. */
function localPath(path: string, code: readonly CodePlace[]): string | undefined {
  for (const { from, to } of code) {
    if (path === to) return from;
    if (path.startsWith(to.endsWith('/') ? to : `${to}/`)) return join(from, path.slice(to.length));
  }
  return undefined;
}

/** The first frame of the last stack: its frames stand in lines that follow each other, or nearly. */
function firstOfLast(frames: readonly Frame[]): Frame | undefined {
  const stackGap = 20;
  let first = frames.at(-1);
  for (const frame of frames.toReversed()) {
    if (first && first.number - frame.number > stackGap) break;
    first = frame;
  }
  return first;
}

function messageOf(lines: readonly string[], { isPython, isNode }: { isPython: boolean; isNode: boolean }): string {
  // A line that is not indented, and is an error's name with its message.
  const error = /^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning)\b.*/;
  const found = isPython || isNode ? lines.findLast((line) => error.test(line)) : undefined;
  return (found ?? lines.findLast((line) => line.trim() !== '') ?? '').trim();
}
