/**
 * Where code comes from, asked of git beside the loop of development, which never waits for the
 * answer. A newer version's question takes the place of an older one's.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { recordOrigins } from '../pipelines/editing/origins.ts';
import type { Pipeline } from '../pipelines/pipelines.ts';
import type { Project } from '../versions/project.ts';

/**
 * Starting a program stops this thread for tens of milliseconds, as Node forks a process of much
 * memory: git is started when the first result of a save is there, more or less.
 */
const askAfterMs = 250;

export class DevOrigins implements AsyncDisposable {
  private readonly project: Project;
  private readonly branch: string;
  /** Versions by pipeline of which git was asked. */
  private readonly asked = new Map<string, number>();
  private asking = new AbortController();
  private recorded: Promise<void> = Promise.resolve();

  constructor(project: Project, branch: string) {
    this.project = project;
    this.branch = branch;
  }

  /** Returns at once. `pipelines`: as they are on the branch now. */
  ask(pipelines: readonly Pipeline[]): void {
    const fresh = pipelines.filter(({ name, version }) => this.asked.get(name) !== version);
    const unknown = fresh.filter(({ codeOrigin, spec }) => codeOrigin === '' && spec.code.length > 0);
    for (const { name, version } of fresh) this.asked.set(name, version);
    if (unknown.length === 0) return;
    this.asking.abort();
    this.asking = new AbortController();
    const { project, branch } = this;
    const { signal } = this.asking;
    const before = this.recorded;
    const record = async (): Promise<void> => {
      await before;
      await sleep(askAfterMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      // A store that is away is told of by the run.
      await recordOrigins(project, unknown, { branch, signal }).catch(() => undefined);
    };
    this.recorded = record();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.asking.abort();
    await this.recorded;
  }
}
