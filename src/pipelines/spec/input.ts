/**
 * Inputs of a spec, checked: one kind each, names told apart, keys where joins and groups need them.
 */
import { isPachError } from '../../base/errors.ts';
import { parseGlob } from '../../model/glob-parse.ts';
import { compileParts } from '../../model/glob-program.ts';
import { compileGlob } from '../../model/glob.ts';
import type { Input, PfsInput } from './spec.ts';
import { Fault, type Path } from './fault.ts';
import { buildCron, checkRepos, type Owner } from './cron.ts';
import { buildTrigger } from './input-trigger.ts';
import { checkInputName, checkName, checkProject } from './names.ts';
import type { InputValues } from './values.ts';

const combining = ['cross', 'union', 'join', 'group'] as const;

interface Context extends Owner {
  readonly inGroup: boolean;
  /** By repo: how many branches are made for inputs with triggers. */
  readonly made: Map<string, number>;
}

/** The input of a spec. Throws `Fault`. */
export function buildInput(values: InputValues, path: Path, owner: Owner): Input {
  const input = build(values, path, { ...owner, inGroup: false, made: new Map() });
  checkJoins(input, path);
  checkNames(input, path, new Set());
  checkRepos(placed(input, path));
  return input;
}

/** All files that an input reads, those of ticks too, in the order of the spec. */
export function pfsInputs(input: Input): readonly PfsInput[] {
  return input.kind === 'pfs' ? [input] : input.inputs.flatMap(pfsInputs);
}

/**
 * The branch that an input reads. Where outputs go to branches of their own there are no triggers: what
 * comes to the branch that triggers is read at once.
 */
export function branchRead({ branch, trigger }: PfsInput, isOwn: boolean): string {
  return isOwn && trigger ? trigger.branch : branch;
}

function build(values: InputValues, path: Path, context: Context): Input {
  const kinds = (['pfs', 'cron', ...combining] as const).filter((kind) => values[kind] !== undefined);
  if (kinds.length > 1) throw new Fault(path, `multiple input types set: ${kinds.join(' and ')}`);
  if (values.pfs) return buildPfs(values.pfs, [...path, 'pfs'], context);
  if (values.cron) return buildCron(values.cron, [...path, 'cron'], context);
  const kind = combining.find((each) => values[each] !== undefined);
  const inner = kind && values[kind];
  if (!inner) throw new Fault(path, 'no input set');
  const below = [...path, kind];
  if (inner.length === 0) throw new Fault(below, 'no input set: the list is empty');
  const within = {
    ...context,
    inGroup: context.inGroup || kind === 'group',
  };
  return { kind, inputs: inner.map((each, index) => build(each, [...below, index], within)) };
}

function buildPfs(values: NonNullable<InputValues['pfs']>, path: Path, context: Context): PfsInput {
  const { repo, glob, project } = values;
  const name = values.name || repo;
  const branch = values.branch || (values.trigger ? branchMade(repo, context) : 'master');
  const trigger = values.trigger && buildTrigger(values.trigger, { ...context, branch }, [...path, 'trigger']);
  if (repo === '') throw new Fault([...path, 'repo'], 'input must specify a repo');
  checkName(repo, [...path, 'repo']);
  checkName(branch, [...path, 'branch']);
  checkInputName(name, repo, path);
  checkProject(project, path, context);
  const groups = groupsOf(glob, [...path, 'glob']);
  checkKey({ key: values.joinOn, wanted: false, groups, path: [...path, 'joinOn'] });
  checkKey({ key: values.groupBy, wanted: context.inGroup, groups, path: [...path, 'groupBy'] });
  const lazy = values.lazy ?? false;
  const emptyFiles = values.emptyFiles ?? false;
  if (lazy && emptyFiles)
    throw new Fault([...path, 'lazy'], "it can't be used together with empty_files, because empty files have no bytes");
  return {
    kind: 'pfs',
    name,
    repo,
    branch,
    glob,
    joinOn: values.joinOn || undefined,
    outerJoin: values.outerJoin ?? false,
    groupBy: values.groupBy || undefined,
    lazy,
    emptyFiles,
    reference: values.reference ?? false,
    ...(trigger && { trigger }),
  };
}

/** Named as Pachyderm does. */
function branchMade(repo: string, { pipeline, made }: Context): string {
  const count = (made.get(repo) ?? 0) + 1;
  made.set(repo, count);
  return `${pipeline}-trigger-${count}`;
}

/** How many groups a glob has. */
function groupsOf(glob: string, path: Path): number {
  if (glob === '') throw new Fault(path, 'input must specify a glob');
  try {
    compileGlob(glob);
    return compileParts(parseGlob(glob)).captures;
  } catch (error) {
    if (isPachError(error)) throw new Fault(path, error.why, { next: error.next });
    throw error;
  }
}

interface Key {
  readonly key: string | undefined;
  readonly wanted: boolean;
  readonly groups: number;
  readonly path: Path;
}

/** Keys name groups of the glob as `$1` or `${1}`; `$$` is a dollar sign. */
function checkKey({ key, wanted, groups, path }: Key): void {
  if (!key) {
    if (wanted) throw new Fault(path, 'an input of a group needs group_by', { next: 'group_by: $1' });
    return;
  }
  for (const [written, braced, bare] of key.matchAll(/\$(?:\$|\{(\d+)\}|(\d+))/g)) {
    const digits = braced ?? bare;
    if (digits === undefined || (Number(digits) >= 1 && Number(digits) <= groups)) continue;
    const has = groups === 0 ? 'no group' : `${groups} group${groups === 1 ? '' : 's'}`;
    throw new Fault(path, `${written} has no value: the glob has ${has} in round brackets`, {
      next: groups === 0 ? 'a glob such as /(*).txt' : `$1${groups > 1 ? ` to $${groups}` : ''}`,
    });
  }
}

/**
 * A join whose inputs all have no key is a cross, as in Pachyderm. Where some have one, those
 * without would never find a partner.
 */
function checkJoins(input: Input, path: Path): void {
  if (input.kind === 'pfs') return;
  if (input.kind === 'join') {
    const leaves = placed(input, path);
    const without = leaves.find(({ leaf }) => leaf.joinOn === undefined);
    if (without && leaves.some(({ leaf }) => leaf.joinOn !== undefined)) {
      const why = 'all inputs of a join need join_on, or none of them';
      if (without.leaf.cron) throw new Fault(without.path, `${why}, and a cron input has none`);
      throw new Fault([...without.path, 'joinOn'], why, { next: 'join_on: $1' });
    }
  }
  for (const [index, each] of input.inputs.entries()) checkJoins(each, [...path, input.kind, index]);
}

/** What it is called in a spec. */
function fieldOf({ cron }: PfsInput): string {
  return cron ? 'cron' : 'pfs';
}

/** The pfs inputs of an input, with their places in the spec. */
function placed(input: Input, path: Path): { readonly leaf: PfsInput; readonly path: Path }[] {
  if (input.kind === 'pfs') return [{ leaf: input, path: [...path, fieldOf(input)] }];
  return input.inputs.flatMap((each, index) => placed(each, [...path, input.kind, index]));
}

/** Two inputs with one name would lie in one folder; of a union only one is seen at a time. */
function checkNames(input: Input, path: Path, names: Set<string>): void {
  if (input.kind === 'pfs') {
    if (names.has(input.name)) {
      throw new Fault([...path, fieldOf(input)], `name "${input.name}" was used more than once`, {
        next: 'give one of them another name',
      });
    }
    names.add(input.name);
    return;
  }
  const met: Set<string>[] = [];
  for (const [index, each] of input.inputs.entries()) {
    const seen = input.kind === 'union' ? new Set(names) : names;
    checkNames(each, [...path, input.kind, index], seen);
    met.push(seen);
  }
  for (const seen of met) for (const name of seen) names.add(name);
}
