/**
 * What is wrong with a document that a person wrote, and where in it.
 */
import { PachError, type ErrorCode } from '../../base/errors.ts';
import { snakeCase } from './shape.ts';

/** Names in camelCase and numbers in lists, from the top of the document. */
export type Path = readonly (string | number)[];

/** Thrown by readers of documents, which know nothing of files; `errorOf` makes an operating error of it. */
export class Fault extends Error {
  readonly path: Path;
  readonly why: string;
  readonly next: string | undefined;
  readonly code: ErrorCode;

  constructor(path: Path, why: string, options: { next?: string | undefined; code?: ErrorCode } = {}) {
    super(why);
    this.path = path;
    this.why = why;
    this.next = options.next;
    this.code = options.code ?? 'usage';
  }
}

/** Finds the line of a path, as its author spelled it; undefined where nobody knows. */
export type LineOf = (path: Path) => number | undefined;

/** The operating error of a fault: `edges.json:7: transform.cmmd: there is no such field`. */
function errorOf(fault: Fault, file: string, document: unknown, lineOf?: LineOf): PachError {
  const path = respell(fault.path, document);
  const line = lineOf?.(path);
  const place = line === undefined ? file : `${file}:${line}`;
  return new PachError(fault.code, {
    what: path.length === 0 ? place : `${place}: ${pathText(path)}`,
    why: fault.why,
    ...(fault.next !== undefined && { next: fault.next }),
  });
}

/** Runs a reader of a document; its faults become operating errors. */
export function withErrors<T>(read: () => T, file: string, document: unknown, lineOf?: LineOf): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof Fault ? errorOf(error, file, document, lineOf) : error;
  }
}

/** The path in the spelling of the document. */
function respell(path: Path, document: unknown): Path {
  let at: unknown = document;
  return path.map((step) => {
    const holder: object = typeof at === 'object' && at !== null ? at : {};
    const name = String(step);
    const spelled = Object.hasOwn(holder, name) || !Object.hasOwn(holder, snakeCase(name)) ? name : snakeCase(name);
    at = Object.hasOwn(holder, spelled) ? (holder as Record<string, unknown>)[spelled] : undefined;
    return typeof step === 'number' ? step : spelled;
  });
}

function pathText(path: Path): string {
  return path
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`;
      const name = /^[\w-]+$/.test(step) ? step : JSON.stringify(step.slice(0, 100));
      return index === 0 ? name : `.${name}`;
    })
    .join('');
}
