/**
 * Which datums the loop of development looks at, and which of them failed last.
 */
import { withSample } from '../pipelines/datums/sample.ts';
import { datumsOf, jobsOn, type Job } from '../pipelines/jobs/jobs.ts';
import { branchRead, pfsInputs } from '../pipelines/spec/input.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { DevEvent, Selection } from './dev-events.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import type { RunEvent } from './events.ts';

/** So many datums of a pipeline are remembered, and run when only those that failed are wanted. */
const rememberedMax = 1000;

/** The specs, of which those that read what no other one makes look at the selection only. */
export function withSelection(specs: readonly PipelineSpec[], selection: Selection): readonly PipelineSpec[] {
  if (selection.kind === 'all') return specs;
  return specs.map((spec) => {
    if (selection.kind === 'failed') {
      const datums = selection.datums[spec.name];
      return datums ? withSample(spec, { kind: 'datums', datums }) : spec;
    }
    const isOutside = pfsInputs(spec.input).some(
      (input) => !specs.some((made) => made.name === input.repo && made.outputBranch === branchRead(input, true)),
    );
    return isOutside ? withSample(spec, selection) : spec;
  });
}

/** The datums that failed when they ran last, by pipeline. */
export class Failing {
  private readonly ids = new Map<string, Set<string>>();
  private isWhole = true;
  /** Datums of the newest job that looked at more than those that failed. */
  private readonly totals = new Map<string, number>();

  listen(event: RunEvent | DevEvent): void {
    if (event.kind === 'watching') this.isWhole = event.selection.kind !== 'failed';
    if (event.kind === 'job-ended' && this.isWhole) {
      const { pipeline, outcome } = event;
      if (['success', 'failure', 'rejected'].includes(outcome.state) && 'counts' in outcome)
        this.totals.set(pipeline, outcome.counts.total);
    }
    if (event.kind !== 'datum-ended' || event.datum.isRecheck) return;
    const { pipeline, datum, outcome } = event;
    const ids = this.ids.get(pipeline) ?? new Set();
    this.ids.set(pipeline, ids);
    if (outcome.state === 'failed' && ids.size < rememberedMax) ids.add(datum.id);
    else if (outcome.state === 'success' || outcome.state === 'recovered') ids.delete(datum.id);
  }

  /** Those of the last job of each pipeline on a branch that came to its end, whoever ran it. */
  async recall(snapshot: Snapshot, pipelines: readonly string[], branch: string): Promise<void> {
    for (const pipeline of pipelines) {
      for await (const job of jobsOn(snapshot, pipeline, branch)) {
        if (!job.datums) continue;
        if (job.counts.failed > 0) this.ids.set(pipeline, await failedOf(snapshot, job));
        break;
      }
    }
  }

  of(pipeline: string): ReadonlySet<string> {
    return this.ids.get(pipeline) ?? new Set();
  }

  /** Of pipelines that have some. */
  lists(): [pipeline: string, datums: readonly string[]][] {
    return [...this.ids].flatMap(([pipeline, ids]) => (ids.size > 0 ? [[pipeline, [...ids].sort()]] : []));
  }

  /** How many other datums those pipelines have. */
  others(): number {
    return this.lists().reduce((sum, [name, ids]) => sum + Math.max(0, (this.totals.get(name) ?? 0) - ids.length), 0);
  }
}

async function failedOf({ reader }: Snapshot, job: Job): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const { id, outcome } of datumsOf(reader, job)) {
    if (outcome.state === 'failed') ids.add(id);
    if (ids.size >= Math.min(job.counts.failed, rememberedMax)) break;
  }
  return ids;
}
