/**
 * What `--explain-env` prints.
 */
import { environmentOf } from '../app/explain-env.ts';
import { openExecutor, withBuiltImage, type ExecutorName } from '../app/executors.ts';
import { openProject } from '../app/open.ts';
import { Secrets } from '../app/secrets.ts';
import { graphFor } from '../engine/run-graph.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import { platformChoice } from './cluster-options.ts';
import type { VerbContext } from './verb.ts';

export interface ExplainRequest {
  /** Instead of specs: a pipeline of the store, with what it depends on. */
  readonly pipeline: string | undefined;
  readonly branch: string | undefined;
  readonly executor: ExecutorName;
  readonly secretsFrom: readonly string[];
  /** Of the nodes, with the executor kubernetes. */
  readonly platform?: string | undefined;
  /** Variables of services that `--forward` names. */
  readonly services?: Readonly<Record<string, string>>;
}

/** Prints the environment of each pipeline. Nothing is stored and no command runs. */
export async function explainEnvironment(
  context: VerbContext,
  specs: readonly PipelineSpec[],
  request: ExplainRequest,
): Promise<void> {
  const { settings, output, signal } = context;
  const secrets = await Secrets.open(settings, request.secretsFrom);
  const shown = request.pipeline === undefined ? specs : await specsOf(context, request.pipeline, request.branch);
  const cluster = platformChoice(request.executor, request.platform, settings);
  await using executor = await openExecutor(request.executor, settings, (line) => output.note(line), cluster);
  for (const each of shown) {
    const spec = await withBuiltImage(executor, each, { signal, log: (line) => output.note(line) });
    const info = await environmentOf(spec, {
      project: settings.project,
      executor,
      secrets,
      services: request.services ?? {},
    });
    if (output.format !== 'table') {
      await output.document(info, () => []);
      continue;
    }
    await output.lines([`pipeline ${info.pipeline}, executor ${info.executor}`, '']);
    await output.rows(info.variables, [
      ['VARIABLE', (row) => row.name],
      ['VALUE', (row) => row.value ?? '-'],
      ['FROM', (row) => row.from],
    ]);
    if (info.files.length > 0) await output.lines(['']);
    await output.rows(info.files, [
      ['SECRET FILE', (row) => row.path],
      ['FROM', (row) => row.from],
    ]);
    await output.lines(['']);
    await output.rows(info.cluster, [
      ['ONLY ON A CLUSTER', (row) => row.name],
      ['WHY', (row) => row.why],
    ]);
    if (each !== shown.at(-1)) await output.lines(['']);
  }
}

async function specsOf({ settings }: VerbContext, name: string, branch: string | undefined): Promise<PipelineSpec[]> {
  await using opened = await openProject(settings);
  const { order } = await graphFor(await opened.project.snapshot(), [name], branch);
  return order.map(({ spec }) => spec);
}
