/**
 * The datums that a worker of a store pool runs, in a local pool that has one worker and stays while they are of
 * one kind. What comes of them goes into its deliveries.
 */
import { Queue } from '../../base/queue.ts';
import type { JobId } from '../../model/records/pipelines.ts';
import type { PlannedDatum } from '../../pipelines/jobs/planned.ts';
import type { PipelineSpec } from '../../pipelines/spec/spec.ts';
import type { Project } from '../../versions/project.ts';
import type { LocalPool } from '../workers/local-pool.ts';
import type { Deliveries } from './deliveries.ts';

export interface RunningOptions {
  readonly project: Project;
  /** Has one worker. */
  readonly pool: LocalPool;
  /** What is run, of the check of its output or of the job itself. */
  spec(isCheck: boolean): { readonly spec: PipelineSpec; readonly env: Readonly<Record<string, string>> };
  /** True when the files that datums read may have references. */
  readonly mayRefer: boolean;
  /** A folder of this machine for the logs of datums that run. */
  readonly logs: string;
  /** Told what commands print. */
  readonly printed?: ((datum: string, text: string) => void) | undefined;
}

export interface Running {
  readonly isCheck: boolean;
  readonly spec: PipelineSpec;
  /** Resolves when the datum is done. */
  run(planned: PlannedDatum): Promise<void>;
  end(): Promise<void>;
}

interface Kind {
  readonly job: JobId;
  readonly isCheck: boolean;
  readonly deliveries: Deliveries;
  readonly signal: AbortSignal;
}

/** `run` and `end` throw what the pool throws. */
export function startDatums(options: RunningOptions, { job, isCheck, deliveries, signal }: Kind): Running {
  const { project, pool, mayRefer, logs } = options;
  const { spec, env } = options.spec(isCheck);
  const queue = new Queue<PlannedDatum>(1);
  const waiting = new Map<string, () => void>();
  const all = pool.run({
    spec,
    job,
    env,
    queue,
    reader: project.reader,
    isCommitted: !isCheck,
    mayRefer: mayRefer && !isCheck,
    publisher: deliveries,
    logs,
    signal,
    tell: (event) => {
      if (event.kind === 'datum-ended' && event.outcome.state === 'again')
        deliveries.failed(event.datum.id, event.outcome.failure);
      if (event.kind === 'note') deliveries.note(event.line);
      if (event.kind === 'printed') options.printed?.(event.datum, event.text);
    },
    done: ({ datum }) => waiting.get(datum.id)?.(),
  });
  all.catch(() => undefined);
  return {
    isCheck,
    spec,
    async run(planned) {
      const done = new Promise<void>((go) => waiting.set(planned.datum.id, go));
      await queue.add(planned);
      await Promise.race([done, all]);
      waiting.delete(planned.datum.id);
    },
    async end() {
      queue.end();
      await all;
    },
  };
}
