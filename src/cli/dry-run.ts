/**
 * The datums that specs would make, as `--dry-run` and `list datum -f` print them.
 */
import { openExecutor, type ExecutorName } from '../app/executors.ts';
import { openProject } from '../app/open.ts';
import { graphOf } from '../pipelines/spec/graph.ts';
import { preview } from '../shown/preview.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { DatumInfo } from './pipeline-names.ts';
import type { VerbContext } from './verb.ts';

interface PreviewInfo extends DatumInfo {
  readonly pipeline: string;
}

export const stepJson =
  '{pipeline, id, state, files: [{repo, commit, path}], why}; state: skipped (computed already) or new';

export interface DryRunOptions {
  readonly executor: string;
  /** Results so far are not taken. */
  readonly reprocess: boolean;
}

/** Prints what the specs would compute. What reads the output of another of them is known once that has run. */
export async function dryRun(
  { settings, output, signal }: VerbContext,
  specs: readonly PipelineSpec[],
  { executor: executorName, reprocess }: DryRunOptions,
): Promise<void> {
  await using opened = await openProject(settings);
  await using executor = await openExecutor(executorName as ExecutorName, settings);
  const { project } = opened;
  const { order, upstream } = graphOf(specs);
  async function* rows(): AsyncGenerator<PreviewInfo> {
    for (const spec of order) {
      const snapshot = await project.snapshot();
      const above = (upstream.get(spec.name) ?? []).find((name) => name !== spec.name);
      const missing = above !== undefined && !(await snapshot.maybeRepo(above));
      if (missing) {
        output.note(`${spec.name}: run ${above} first: the datums of ${spec.name} depend on its output`);
        continue;
      }
      for await (const step of preview(spec, { project, executor, reprocess, signal })) {
        if (step.kind === 'gone') continue;
        const { datum } = step.planned;
        const files = datum.files.map(({ input, commit, path }) => ({ repo: input.repo, commit, path }));
        const fresh = reprocess ? 'earlier results are ignored' : 'no result yet';
        const known = step.kind === 'known' ? `job ${step.result.outcome.job} already computed it` : fresh;
        yield {
          pipeline: spec.name,
          id: datum.id,
          state: step.kind === 'known' ? 'skipped' : 'new',
          files,
          why: known,
        };
      }
    }
  }
  await output.rows(rows(), [
    ['PIPELINE', (row) => row.pipeline],
    ['DATUM', (row, { id }) => id(row.id.slice(0, 16))],
    ['STATE', (row) => row.state],
    ['FILES', (row, { name }) => row.files.map(({ repo, path }) => name(`${repo}:${path}`)).join(' ')],
  ]);
}
