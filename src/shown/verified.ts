/**
 * Results that were made again at another place, as programs are shown them.
 */
import { countChanges, type ChangeCounts } from '../engine/output-changes.ts';
import type { Verified } from '../engine/verify.ts';
import { maybeJob, readResult } from '../pipelines/jobs/jobs.ts';
import { Directories } from '../versions/directories.ts';
import type { Project } from '../versions/project.ts';
import { changesOf, FileBytes, type FileChange } from '../versions/reading/files.ts';
import { changeInfo, type ChangeInfo } from './files.ts';

export interface VerifiedInfo {
  readonly pipeline: string;
  readonly job: string | null;
  readonly elsewhere: number;
  readonly compared: number;
  readonly different: number;
  readonly failed: number;
  readonly datums: readonly DifferentResult[];
}

export interface DifferentResult {
  readonly id: string;
  readonly now: 'different' | 'failed';
  readonly files: readonly { readonly repo: string; readonly commit: string; readonly path: string }[];
  readonly madeBy: {
    readonly job: string;
    readonly executor: string | null;
    readonly engine: string | null;
    readonly place: string | null;
    readonly started: string;
  };
  readonly reason: string | null;
  readonly output: (ChangeCounts & { readonly files: readonly ChangeInfo[] }) | null;
}

export const verifiedJson =
  'verified: [{pipeline, job or null, elsewhere, compared, different, failed, datums: [{id, now: different|failed, files: [{repo, commit, path}], madeBy: {job, executor or null, engine or null, place or null, started}, reason or null, output: {added, changed, removed, bytes, files: [{path, change, old, new}]} or null}]}]';

/** Of more datums, and of more files of one, there are only counts. */
const datumsMax = 100;
const filesMax = 100;

/** What was compared, and of what is not the same how it differs. */
export async function verifiedInfo(
  project: Project,
  pipeline: string,
  { elsewhere, compared, job }: Verified,
): Promise<VerifiedInfo> {
  const others = compared.flatMap((each) => (each.now === 'same' ? [] : [{ ...each, now: each.now }]));
  const datums: DifferentResult[] = [];
  const snapshot = await project.snapshot();
  for (const { id, now, files, before, after } of others.slice(0, datumsMax)) {
    const { outcome } = before;
    const made = await maybeJob(snapshot, outcome.job);
    const { executor = null, engine = null } = made ?? {};
    datums.push({
      id,
      now,
      files: files.map(({ input, commit, path }) => ({ repo: input.repo, commit, path })),
      madeBy: {
        job: outcome.job,
        executor,
        engine,
        place: outcome.place ?? null,
        started: new Date(outcome.stats.startedMs).toISOString(),
      },
      reason: now === 'failed' ? after.outcome.reason : null,
      output: now === 'failed' ? null : await outputOf(project, before, after),
    });
  }
  const failed = others.filter(({ now }) => now === 'failed').length;
  const different = others.length - failed;
  return { pipeline, job: job?.id ?? null, elsewhere, compared: compared.length, different, failed, datums };
}

type Compared = Verified['compared'][number];

async function outputOf(
  { reader }: Project,
  before: Compared['before'],
  after: Compared['after'],
): Promise<NonNullable<DifferentResult['output']>> {
  const directories = new Directories(reader);
  const [old, now] = await Promise.all(
    [before, after].map(async ({ tree }) => {
      const { out } = await readResult(reader, tree);
      return out && directories.find(out, []);
    }),
  );
  const first: FileChange[] = [];
  const counts = await countChanges(changesOf(directories, '/', old, now), (change) => {
    if (first.length < filesMax) first.push(change);
  });
  const bytes = new FileBytes(reader);
  const files = await Promise.all(first.map((change) => changeInfo(bytes, change)));
  return { ...counts, files };
}
