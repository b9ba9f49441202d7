/**
 * What lies in /pfs/out beside what a job stored for the datum, by content. Nothing is stored.
 */
import type { Directory } from '../versions/directories.ts';
import { changesOf, type FileChange } from '../versions/reading/files.ts';
import { trialSink } from '../versions/writing/trial.ts';
import { takeOut, type Output, type TakeOutOptions } from './take-out.ts';

export interface ComparedOutput {
  /** Files and links, in order of paths. */
  readonly changes: readonly FileChange[];
  readonly same: number;
  readonly outside: Output['outside'];
}

/** `before`: what was stored; undefined: nothing. Throws as `takeOut` does for what a job could not store. */
export async function compareOut(
  options: Omit<TakeOutOptions, 'sink'>,
  before: Directory | undefined,
): Promise<ComparedOutput> {
  const { sink, directories } = trialSink(options.reader);
  const { directory: after, outside } = await takeOut({ ...options, sink });
  const [old, now] = await Promise.all([before && directories.find(before, []), directories.find(after, [])]);
  const changes: FileChange[] = [];
  for await (const change of changesOf(directories, '/', old, now)) changes.push(change);
  const fresh = changes.filter(({ change }) => change !== 'removed').length;
  return { changes, same: after.files - fresh, outside };
}
