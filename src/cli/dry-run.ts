/**
 * The datums that specs would make, as `--dry-run` and `list datum -f` print them.
 */
import { openExecutor, withBuiltImage, type ExecutorName } from '../app/executors.ts';
import { openProject } from '../app/open.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import { previews, type PreviewInfo } from '../shown/preview.ts';
import { datumColumns } from './pipeline-columns.ts';
import type { VerbContext } from './verb.ts';

export interface DryRunOptions {
  readonly executor: ExecutorName;
  /** Results so far are not taken. */
  readonly reprocess: boolean;
}

/** Prints what the specs would compute. What reads the output of another of them is known once that has run. */
export async function dryRun(
  { settings, output, signal }: VerbContext,
  given: readonly PipelineSpec[],
  { executor: name, reprocess }: DryRunOptions,
): Promise<void> {
  await using opened = await openProject(settings);
  await using executor = await openExecutor(name, settings, (line) => output.note(line));
  const { project } = opened;
  const specs: PipelineSpec[] = [];
  for (const spec of given) {
    specs.push(await withBuiltImage(executor, spec, { signal, log: (line) => output.note(line) }));
  }
  async function* rows(): AsyncGenerator<PreviewInfo> {
    for await (const each of previews(specs, { project, executor, reprocess, signal })) {
      if (!('above' in each)) yield each;
      else
        output.note(`${each.pipeline}: run ${each.above} first: the datums of ${each.pipeline} depend on its output`);
    }
  }
  await output.rows(rows(), [['PIPELINE', (row) => row.pipeline], ...datumColumns]);
}
