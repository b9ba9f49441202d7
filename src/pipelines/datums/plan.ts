/**
 * From inputs to datums, in Pachyderm's way. Names of inputs are unique in a spec, but for sides of
 * a union, which may share them.
 */
import type { NodeSource } from '../../model/node.ts';
import { Directories } from '../../versions/directories.ts';
import type { Datum } from './datum.ts';
import type { Input, PfsInput } from '../spec/spec.ts';
import { CrossSource } from './cross.ts';
import { datumId } from './id.ts';
import { KeyedSource } from './keyed.ts';
import { PfsSource, type InputVersion } from './pfs.ts';
import { sampled } from './sample.ts';
import type { Files, Pair, Source, Which } from './source.ts';
import { UnionSource } from './union.ts';

/** Which version a pfs input reads; undefined while its branch has no commits, and so no files. */
export type VersionOf = (input: PfsInput) => InputVersion | undefined;

/** A datum that is new (no `before`), gone (no `after`) or made of other content. */
export interface DatumChange {
  readonly before?: Datum | undefined;
  readonly after?: Datum | undefined;
}

/**
 * All datums, each once. A pfs input is never held in memory, a cross holds at most 10,000 datums
 * of each side, a join or group the files of all sides. Throws `damaged`.
 */
export async function* planDatums(nodes: NodeSource, input: Input, versions: VersionOf): AsyncGenerator<Datum> {
  const pairs = pairsOf(new Directories(nodes), input, { before: () => undefined, after: versions }, 'all');
  for await (const { after } of pairs) if (after) yield datumOf(after);
}

/**
 * What differs between the datums of two sets of versions, each datum once. Costs by what differs,
 * where a join or group has changed files by all that it reads. Throws `damaged`.
 */
export async function* diffDatums(
  nodes: NodeSource,
  input: Input,
  before: VersionOf,
  after: VersionOf,
): AsyncGenerator<DatumChange> {
  for await (const pair of pairsOf(new Directories(nodes), input, { before, after }, 'changed')) {
    const id = datumId(pair.after ?? pair.before ?? []);
    yield { before: pair.before && { id, files: pair.before }, after: pair.after && { id, files: pair.after } };
  }
}

function datumOf(files: Files): Datum {
  return { id: datumId(files), files };
}

interface Versions {
  readonly before: VersionOf;
  readonly after: VersionOf;
}

function pairsOf(directories: Directories, input: Input, versions: Versions, which: Which): AsyncGenerator<Pair> {
  if (input.kind !== 'sample') return sourceOf(directories, input, versions).pairs(which);
  const source = sourceOf(directories, input.inputs[0], versions);
  return sampled(source, input.sample, which);
}

function sourceOf(directories: Directories, input: Input, versions: Versions): Source {
  if (input.kind === 'pfs') {
    return new PfsSource(directories, input, { before: versions.before(input), after: versions.after(input) });
  }
  const sides = input.inputs.map((side) => sourceOf(directories, side, versions));
  switch (input.kind) {
    case 'cross':
      return new CrossSource(sides);
    case 'union':
      return new UnionSource(sides);
    case 'join':
    case 'group':
      return new KeyedSource(input.kind, sides);
    case 'sample':
      throw new Error('a sample is no part of another input');
  }
}
