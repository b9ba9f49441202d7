/**
 * What commands print in the pods of a job that runs, as its workers' containers repeat it: brought to a
 * folder of this machine, as if the datums ran here. What the store has in the end is the truth.
 */
import { appendFile, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeTreeAsync } from '../base/remove.ts';
import { Cluster } from '../kubernetes/client/cluster.ts';
import type { KubeObject } from '../kubernetes/client/objects.ts';
import { pipelineSelector } from '../kubernetes/objects/plan.ts';
import type { Job } from '../pipelines/jobs/jobs.ts';
import type { OpenProject } from './open.ts';
import { printedOfLine } from './printed.ts';
import type { Settings } from './settings.ts';

export interface PodLogsRequest {
  readonly context: string | undefined;
  readonly namespace: string | undefined;
  /** Told why nothing can be followed. */
  readonly note: (line: string) => void;
}

/** Disposing of it removes the folder. */
export class PodLogs implements AsyncDisposable {
  /** A file a datum. */
  readonly folder: string;
  private readonly cluster: Cluster;
  private readonly job: Job;
  private readonly stop = new AbortController();
  private readonly following = new Map<string, Promise<void>>();
  private watching: Promise<void> = Promise.resolve();

  private constructor(cluster: Cluster, job: Job, folder: string) {
    this.cluster = cluster;
    this.job = job;
    this.folder = folder;
  }

  /** Follows all pods of the job's pipeline, those that come later too. */
  static async open(settings: Settings, opened: OpenProject, job: Job, request: PodLogsRequest): Promise<PodLogs> {
    const { context, namespace, note } = request;
    const cluster = await Cluster.open({ kubeconfig: settings.kubeconfig, context, namespace });
    const logs = new PodLogs(cluster, job, await mkdtemp(join(tmpdir(), 'pach-logs-')));
    const project = opened.project.options.name;
    const labels = pipelineSelector({ store: { id: opened.storeId }, project, pipeline: { name: job.pipeline } });
    const each = (_: unknown, pod: KubeObject): void => logs.changed(pod);
    const away = (error: Error | undefined): void => {
      if (error) note(`${error.message}: what pods print is shown when their datums are done`);
    };
    logs.watching = cluster
      .watch('Pod', { labels }, { each, away, signal: logs.stop.signal })
      .catch((error: unknown) => away(error instanceof Error ? error : new Error(String(error))));
    return logs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop.abort();
    await Promise.all([this.watching, ...this.following.values()]);
    this.cluster[Symbol.dispose]();
    await removeTreeAsync(this.folder);
  }

  private changed({ metadata: { uid = '', name = '' }, status }: KubeObject): void {
    const { initContainerStatuses = [] } = (status ?? {}) as {
      initContainerStatuses?: readonly { name: string; state?: { running?: object } }[];
    };
    const worker = initContainerStatuses.find((each) => each.name === 'worker');
    if (!worker?.state?.running || this.following.has(uid)) return;
    // One that has just ended has delivered what it had, or somebody runs it again.
    this.following.set(
      uid,
      this.follow(name).catch(() => undefined),
    );
  }

  private async follow(pod: string): Promise<void> {
    let rest = Buffer.alloc(0);
    for await (const piece of this.cluster.logs(pod, 'worker', { follow: true, signal: this.stop.signal })) {
      const bytes = Buffer.concat([rest, piece]);
      const end = bytes.lastIndexOf('\n') + 1;
      rest = Buffer.from(bytes.subarray(end));
      for (const line of bytes.subarray(0, end).toString().split('\n')) {
        const printed = printedOfLine(line);
        if (printed?.job === this.job.id) await appendFile(join(this.folder, printed.datum), printed.text);
      }
    }
  }
}
