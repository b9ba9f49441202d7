/**
 * The datums that specs would make, as `--dry-run` and `list datum -f` print them.
 */
import { openExecutor, withBuiltImage, type ExecutorName } from '../app/executors.ts';
import type { Settings } from '../app/settings.ts';
import { isPachError } from '../base/errors.ts';
import { ownPlatform, parsePlatform, platformText } from '../images/platform.ts';
import { openProject } from '../app/open.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import { previews, type PreviewInfo, type PreviewOptions } from '../shown/preview.ts';
import { platformChoice } from './cluster-options.ts';
import { datumColumns } from './pipeline-columns.ts';
import type { VerbContext } from './verb.ts';

export interface DryRunOptions {
  readonly executor: ExecutorName;
  /** Of the nodes, with the executor kubernetes; undefined: that of the context, or this machine's. */
  readonly platform: string | undefined;
  /** Results so far are not taken. */
  readonly reprocess: boolean;
}

/** Prints what the specs would compute. What reads the output of another of them is known once that has run. */
export async function dryRun(
  { settings, output, signal }: VerbContext,
  given: readonly PipelineSpec[],
  { executor: name, platform, reprocess }: DryRunOptions,
): Promise<void> {
  await using opened = await openProject(settings);
  const cluster = platformChoice(name, platform, settings);
  await using executor = await openExecutor(name, settings, (line) => output.note(line), cluster);
  const { project } = opened;
  const specs: PipelineSpec[] = [];
  for (const spec of given) {
    specs.push(await withBuiltImage(executor, spec, { signal, log: (line) => output.note(line) }));
  }
  const nodes = cluster.platform && platformText(parsePlatform(cluster.platform));
  const own = platformText(ownPlatform());
  const isOther = nodes !== undefined && nodes !== own;
  const asHere = isOther ? await knownHere(settings, specs, { project, reprocess, signal }) : new Set();
  let lost = 0;
  async function* rows(): AsyncGenerator<PreviewInfo> {
    for await (const each of previews(specs, { project, executor, reprocess, signal })) {
      if (!('above' in each)) {
        if (each.state === 'new' && asHere.has(`${each.pipeline} ${each.id}`)) lost += 1;
        yield each;
      } else
        output.note(`${each.pipeline}: run ${each.above} first: the datums of ${each.pipeline} depend on its output`);
    }
  }
  await output.rows(rows(), [['PIPELINE', (row) => row.pipeline], ...datumColumns]);
  if (lost > 0) {
    const are = lost === 1 ? 'datum has its result' : 'datums have their results';
    output.note(
      `platform ${nodes}: ${lost} ${are} for ${own} only; its image is another one, so they are computed again`,
    );
  }
}

/** Datums that have results with the images of this machine's platform, where the nodes have another one. */
async function knownHere(
  settings: Settings,
  specs: readonly PipelineSpec[],
  options: Omit<PreviewOptions, 'executor'>,
): Promise<ReadonlySet<string>> {
  const known = new Set<string>();
  await using here = await openExecutor('kubernetes', settings, () => undefined);
  try {
    for await (const each of previews(specs, { ...options, executor: here })) {
      if (!('above' in each) && each.state === 'skipped') known.add(`${each.pipeline} ${each.id}`);
    }
  } catch (error) {
    // Nothing was computed with an image that is not to be had for this machine.
    if (!isPachError(error, 'unsupported', 'not-found', 'unreachable', 'denied')) throw error;
  }
  return known;
}
