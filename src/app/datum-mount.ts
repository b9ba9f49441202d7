/**
 * Mounts that show one datum of a spec: which one, and moving on to another. All datums are those of
 * the moment at which it was mounted, so their order and number stay.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { inputsOf } from '../engine/run-graph.ts';
import { datumVariables, jobVariables } from '../execution/workers/environment.ts';
import type { Home } from '../local/home.ts';
import {
  currentDatum,
  endDatum,
  maybeMountedDatum,
  showDatum,
  type MountedDatum,
  type ShownDatum,
} from '../local/mounted-datum.ts';
import { listMounts, type Mount } from '../local/mounts.ts';
import { hashOf } from '../model/canonical.ts';
import { candidatesMax, severalBegin } from '../model/ids.ts';
import type { JobId } from '../model/records/pipelines.ts';
import { encodeHead } from '../model/records/head.ts';
import type { Datum } from '../pipelines/datums/datum.ts';
import { planDatums } from '../pipelines/datums/plan.ts';
import { versionsOf } from '../pipelines/jobs/plan.ts';
import { specBytes, specOfBytes } from '../pipelines/pipelines.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import { readSpecs, type SpecSource } from '../pipelines/spec/specs.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { openProject } from './open.ts';
import type { Settings } from './settings.ts';

/** The number of a datum, from 1 on, or the beginning of its id. */
type Wanted = { readonly index: number } | { readonly id: string };

/** A datum of a spec, as a command line names it. */
export interface DatumChoice {
  readonly spec: PipelineSpec;
  readonly wanted: Wanted;
}

export type Step = 'next' | 'prev' | { readonly to: string };

interface Planned {
  readonly spec: PipelineSpec;
  /** The bytes of the spec as a store has them. */
  readonly stored: Buffer;
  readonly project: string;
}

interface Found {
  readonly index: number;
  readonly datum: Datum;
}

/** `SPEC[:INDEX|ID]`: without, the first. Throws `usage` and `not-found`, and what `readSpecs` throws. */
export async function chosenDatum(text: string, source: Omit<SpecSource, 'path'>): Promise<DatumChoice> {
  const colon = text.lastIndexOf(':');
  const isPlain = colon < 0 || existsSync(text);
  const path = isPlain ? text : text.slice(0, colon);
  const wanted = isPlain ? { index: 1 } : wantedOf(text.slice(colon + 1));
  const [spec, ...others] = await readSpecs({ ...source, path });
  if (!spec || others.length > 0) {
    const why = `it has ${others.length + 1} pipelines, and a mount shows a datum of one`;
    throw new PachError('usage', { what: path, why, next: 'give the file of one pipeline' });
  }
  return { spec, wanted };
}

/** What a mount is to show. Throws `not-found` where there is no such datum. */
export async function datumToMount(
  { home, project }: Pick<Settings, 'home' | 'project'>,
  { spec, wanted }: DatumChoice,
  snapshot: Snapshot,
): Promise<MountedDatum> {
  const { total, found } = await find(snapshot, spec, wanted);
  const { name: pipeline } = spec;
  const stored = specBytes(spec);
  return {
    head: encodeHead(snapshot.head).toString('base64'),
    spec: stored.toString(),
    pipeline,
    total,
    out: join(home.out, `${pipeline}-${randomBytes(4).toString('hex')}`),
    shown: [shownDatum({ spec, stored, project }, found)],
  };
}

/** Makes a mount show another datum; what it shows then. Throws `not-found` at the ends, and where no datum is mounted. */
export async function moveDatum(settings: Settings, mountpoint: string, step: Step): Promise<MountedDatum> {
  const { home } = settings;
  const mount = (await listMounts(home)).mounts.find((each) => each.mountpoint === mountpoint);
  const mounted = mount?.record?.datum === undefined ? undefined : await maybeMountedDatum(home, mountpoint);
  if (!mounted || !mount?.record) {
    const why = mount ? 'that mount shows no datum' : 'no pachmount mount is there';
    throw new PachError('not-found', { what: mountpoint, why, next: 'pachmount --datum SPEC MOUNTPOINT' });
  }
  const { index } = currentDatum(mounted);
  const wanted = typeof step === 'object' ? wantedOf(step.to) : { index: step === 'next' ? index + 1 : index - 1 };
  if (typeof step === 'string' && 'index' in wanted && (wanted.index < 1 || wanted.index > mounted.total)) {
    const why = `there is no datum ${step === 'next' ? 'after' : 'before'} it, it is ${index} of ${mounted.total}`;
    throw new PachError('not-found', { what: `datum ${index} of ${mounted.pipeline}`, why });
  }
  const { store: storeUrl, project } = mount.record;
  await using opened = await openProject({ ...settings, storeUrl, project });
  const stored = Buffer.from(mounted.spec);
  const spec = specOfBytes(stored);
  const snapshot = opened.project.snapshotOf(Buffer.from(mounted.head, 'base64'));
  const { found } = await find(snapshot, spec, wanted, mounted.total);
  const next = { ...mounted, shown: [...mounted.shown, shownDatum({ spec, stored, project }, found)] };
  await showDatum(home, mountpoint, next);
  return next;
}

/** Clears away what a mount that has ended needed for a datum. Resolves to its `out` folders if something lies in them. */
export async function leaveDatum(home: Home, { mountpoint, record }: Mount): Promise<string | undefined> {
  const out = record?.datum;
  return out !== undefined && (await endDatum(home, mountpoint, out)) ? out : undefined;
}

function wantedOf(text: string): Wanted {
  // So many datums there are not: what has more digits is an id.
  if (/^\d{1,11}$/.test(text)) {
    if (Number(text) > 0) return { index: Number(text) };
    throw new PachError('usage', { what: `datum ${text}`, why: 'the first datum is number 1' });
  }
  if (/^[0-9a-f]{1,64}$/.test(text)) return { id: text };
  throw new PachError('usage', {
    what: `datum ${text}`,
    why: 'it is neither a number, from 1 on, nor the beginning of an id',
    next: 'pach list datum -f SPEC',
  });
}

/**
 * The wanted datum in the order of the plan, and how many there are: counted, unless that is known. Then
 * no more is planned than must be.
 */
async function find(
  snapshot: Snapshot,
  spec: PipelineSpec,
  wanted: Wanted,
  known?: number,
): Promise<{ total: number; found: Found }> {
  const inputs = await inputsOf({ branch: undefined, pinned: new Map() }, snapshot, { spec }, []);
  const versions = versionsOf(
    spec,
    inputs.map(({ commit }) => commit),
  );
  const found: Found[] = [];
  let total = 0;
  for await (const datum of planDatums(snapshot.reader, spec.input, versions)) {
    total += 1;
    const isWanted = 'index' in wanted ? wanted.index === total : datum.id.startsWith(wanted.id);
    if (isWanted && found.length <= candidatesMax) found.push({ index: total, datum });
    if (isWanted && 'index' in wanted && known !== undefined) break;
  }
  const [only, second] = found;
  if (only && !second) return { total: known ?? total, found: only };
  const text = 'index' in wanted ? String(wanted.index) : wanted.id;
  throw new PachError('not-found', {
    what: total === 0 ? `pipeline ${spec.name}` : `datum ${text}`,
    why: second
      ? severalBegin(
          'datums',
          text,
          found.map(({ datum }) => datum.id),
        )
      : noSuch(spec, total),
    next: 'pach list datum -f SPEC',
  });
}

function noSuch(spec: PipelineSpec, total: number): string {
  if (total > 0) return `there is no such datum: pipeline ${spec.name} has ${total}`;
  const inputs = pfsInputs(spec.input).map(({ repo, branch, glob }) => shellWord(`${repo}@${branch}:${glob}`));
  return `it has no datum, as its input gives none (${inputs.join(', ')})`;
}

function shownDatum({ spec, stored, project }: Planned, { index, datum }: Found): ShownDatum {
  const specHash = hashOf(stored).toString('hex');
  // Two of the variables of a job name it, and here is none.
  const names = { job: '' as JobId, project, specHash };
  const { PACH_JOB_ID: _job, PACH_OUTPUT_COMMIT_ID: _commit, ...variables } = jobVariables(spec, names);
  return {
    index,
    id: datum.id,
    files: datum.files.map(({ input, commit, path }) => {
      return { input: input.name, repo: input.repo, commit, path, empty: input.emptyFiles };
    }),
    variables: { ...variables, ...datumVariables(datum) },
  };
}
