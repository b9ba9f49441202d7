/**
 * Standard input, for verbs that read it.
 */
import { addAbortSignal } from 'node:stream';

/** Ends with an error when the signal is aborted: a terminal or a pipe may never give anything. */
export function standardInput(signal: AbortSignal): NodeJS.ReadStream {
  return addAbortSignal(signal, process.stdin);
}
