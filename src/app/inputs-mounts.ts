/**
 * Mounts of the project that show the inputs of pipelines to their commands on this machine.
 */
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { InputsMount } from '../execution/workers/slot.ts';
import { askMount, mountLogPath } from '../local/mounts.ts';
import { unmountAll } from '../mount/kernel-mount.ts';
import type { JobInputs } from '../pipelines/jobs/plan.ts';
import type { Totals } from '../store/meter.ts';
import { whereOf } from './mount-plan.ts';
import { mountProject } from './mount.ts';
import type { Settings } from './settings.ts';

const mountMemoryBytes = 256e6;
const mountTimeoutMs = 60_000;

/** Told what a mount of a pipeline's inputs has asked of the store, when it ends. */
export type InputsRead = (pipeline: string, read: Totals) => void;

/** A mount, and which versions it was made for. */
interface MountedInputs {
  readonly versions: string;
  readonly mount: Promise<InputsMount>;
}

/**
 * A mount of the project for each pipeline that needs one, made when the first datum does. It shows
 * the project as it was then, so a job that reads other versions gets another one.
 */
export class InputsMounts implements AsyncDisposable {
  private readonly settings: Settings;
  private readonly folder: string;
  private readonly inputsRead: InputsRead | undefined;
  private readonly mounted = new Map<string, MountedInputs>();
  private made = 0;
  /**
   * The ends of mounts that were replaced. Idle workers may have copies of these, where this machine
   * does not share its mounts, and a server ends with the last copy.
   */
  private readonly ending = new Set<Promise<void>>();

  constructor(settings: Settings, folder: string, inputsRead: InputsRead | undefined) {
    this.settings = settings;
    this.folder = folder;
    this.inputsRead = inputsRead;
  }

  /** Mounts when it is called, unless the pipeline has a mount for these inputs. */
  of(pipeline: string, inputs: JobInputs, signal: AbortSignal): () => Promise<InputsMount> {
    const versions = inputs.map(({ repo, commit }) => `${repo}@${commit?.id ?? ''}`).join(' ');
    return () => {
      const before = this.mounted.get(pipeline);
      if (before?.versions === versions) return before.mount;
      const mountpoint = join(this.folder, String((this.made += 1)));
      const forget = (): void => {
        if (this.mounted.get(pipeline) !== mounted) return; // another one is there
        this.mounted.delete(pipeline);
        unmountAll([mountpoint]);
      };
      if (before) this.replaced(before);
      const mount = this.mount(pipeline, mountpoint, { signal, ended: forget });
      const mounted: MountedInputs = { versions, mount };
      this.mounted.set(pipeline, mounted);
      mount.catch(forget);
      return mount;
    };
  }

  /** Ends the mount of a pipeline, which nobody uses. */
  async rest(pipeline: string): Promise<void> {
    const mounted = this.mounted.get(pipeline);
    this.mounted.delete(pipeline);
    if (mounted) await end(mounted);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.mounted.values()];
    this.mounted.clear();
    await Promise.all([...this.ending, ...all.map(end)]);
  }

  private replaced(mounted: MountedInputs): void {
    const ended = end(mounted);
    this.ending.add(ended);
    // One that failed is told when the session is closed.
    ended.then(
      () => this.ending.delete(ended),
      () => undefined,
    );
  }

  private async mount(
    pipeline: string,
    mountpoint: string,
    { signal, ended: told }: { readonly signal: AbortSignal; readonly ended: () => void },
  ): Promise<InputsMount> {
    await mkdir(dirname(mountpoint), { recursive: true });
    const plan = {
      ...whereOf(this.settings),
      mountpoint,
      sources: [],
      memoryBytesMax: mountMemoryBytes,
      timeoutMs: mountTimeoutMs,
    };
    // A command may be another user than the engine, which only root can let in without asking.
    const manner = { allowOther: process.geteuid?.() === 0, noExec: false, signal };
    const { ended } = await mountProject(this.settings, plan, manner);
    void ended.then(told);
    return {
      pathOf: (repo, commit, path) => `${mountpoint}/${repo}@${commit}${path === '/' ? '' : path}`,
      [Symbol.asyncDispose]: async () => {
        const read = this.inputsRead && (await askMount(this.settings.home, mountpoint));
        if (read?.store) this.inputsRead?.(pipeline, read.store);
        unmountAll([mountpoint]);
        await ended;
        await rm(await mountLogPath(this.settings.home, mountpoint), { force: true });
      },
    };
  }
}

/** Unmounts, and waits until its server has ended. */
async function end({ mount }: MountedInputs): Promise<void> {
  await (await mount.catch(() => undefined))?.[Symbol.asyncDispose]();
}
