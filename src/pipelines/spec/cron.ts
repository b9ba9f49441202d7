/**
 * Cron inputs of a spec. One is the files of a repo like any pfs input, and the repo is filled by engines:
 * a tick is a commit with a file that is named by its time.
 */
import { isPachError } from '../../base/errors.ts';
import { parseSchedule } from '../../model/schedule.ts';
import { Zone } from '../../model/zone.ts';
import { Fault, type Path } from './fault.ts';
import { checkInputName, checkName, checkProject } from './names.ts';
import { nearest } from './nearest.ts';
import type { PfsInput } from './spec.ts';
import type { InputValues } from './values.ts';

/** What an input is a part of. */
export interface Owner {
  readonly pipeline: string;
  readonly project: string;
  /** Of its cron expressions. */
  readonly timezone: string;
}

/** The branch that ticks are committed to. */
export const ticksBranch = 'master';

/** RFC 3339, as Pachyderm takes it: a date alone is no time. */
const timePattern = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;

/** Throws `Fault`. */
export function buildCron(values: NonNullable<InputValues['cron']>, path: Path, owner: Owner): PfsInput {
  const { name, spec } = values;
  const repo = values.repo || `${owner.pipeline}_${name}`;
  if (name === '') throw new Fault([...path, 'name'], 'input must specify a name');
  checkInputName(name, repo, path);
  checkName(repo, [...path, values.repo ? 'repo' : 'name']);
  if (repo === owner.pipeline) {
    throw new Fault([...path, 'repo'], 'it is the repo of the results, which are no input');
  }
  checkProject(values.project, path, owner);
  faultOf([...path, 'spec'], () => parseSchedule(spec, owner.timezone));
  const start = values.start ? startOf(values.start, [...path, 'start']) : undefined;
  return {
    kind: 'pfs',
    name,
    repo,
    branch: ticksBranch,
    glob: '/*',
    outerJoin: false,
    lazy: false,
    emptyFiles: false,
    reference: false,
    cron: { spec, start, overwrite: values.overwrite ?? false },
  };
}

/** The time zone of a spec's expressions. Throws `Fault`. */
export function timezoneOf(name: string | undefined, path: Path): string {
  if (!name) return 'UTC';
  try {
    void new Zone(name);
  } catch (error) {
    if (!isPachError(error)) throw error;
    const meant = nearest(name, Intl.supportedValuesOf('timeZone'));
    const next = meant === undefined ? 'a name such as Europe/Berlin' : `did you mean ${meant}?`;
    throw new Fault(path, error.why, { next });
  }
  return name;
}

/** The ticks of an input are in a repo of their own. */
export function checkRepos(leaves: readonly { readonly leaf: PfsInput; readonly path: Path }[]): void {
  const repos = new Set<string>();
  for (const { leaf, path } of leaves) {
    if (!leaf.cron) continue;
    if (!repos.has(leaf.repo)) {
      repos.add(leaf.repo);
      continue;
    }
    throw new Fault([...path, 'repo'], `the ticks of another input are in repo ${leaf.repo} already`, {
      next: 'give one of them another repo',
    });
  }
}

function startOf(text: string, path: Path): number {
  const time = timePattern.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time) || time < 0) {
    throw new Fault(path, 'it must be a time with its zone', { next: '2026-01-31T00:00:00Z' });
  }
  return time;
}

/** An expression that is wrong is a fault of its field. */
export function faultOf(path: Path, read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!isPachError(error)) throw error;
    throw new Fault(path, error.why, { next: error.next });
  }
}
