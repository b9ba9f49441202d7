/**
 * Images of `dev.build` in the loop of development: the one that is there serves while the next one
 * is built.
 */
import type { BuildWatch, Executor } from '../execution/executor.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import { withBuiltImage } from './executors.ts';

export interface DevImagesOptions extends Pick<BuildWatch, 'log'> {
  readonly executor: Executor;
  /** Another image is there. */
  readonly changed: () => void;
}

/** Closing it ends what is being built. */
export class DevImages implements AsyncDisposable {
  private readonly options: DevImagesOptions;
  private readonly stop = new AbortController();
  /** By pipeline, and what its image is built from. */
  private readonly images = new Map<string, string>();
  private readonly building = new Map<string, Promise<void>>();

  constructor(options: DevImagesOptions) {
    this.options = options;
  }

  /** The spec with the name of its image. Only the first one is waited for. */
  async in(spec: PipelineSpec): Promise<PipelineSpec> {
    if (!spec.build || !this.options.executor.build) return spec;
    const key = JSON.stringify([spec.name, spec.build]);
    const known = this.images.get(key);
    const image = known ?? (await this.build(spec));
    if (known === undefined) this.images.set(key, image);
    else if (!this.building.has(key)) this.building.set(key, this.refresh(key, spec, known));
    return { ...spec, build: undefined, transform: { ...spec.transform, image } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop.abort();
    await Promise.all(this.building.values());
  }

  private async build(spec: PipelineSpec): Promise<string> {
    const { executor, log } = this.options;
    return (await withBuiltImage(executor, spec, { log, signal: this.stop.signal })).transform.image;
  }

  private async refresh(key: string, spec: PipelineSpec, before: string): Promise<void> {
    try {
      const image = await this.build(spec);
      this.images.set(key, image);
      if (image !== before) this.options.changed();
    } catch (error) {
      if (!this.stop.signal.aborted) this.options.log(error instanceof Error ? error.message : String(error));
    } finally {
      this.building.delete(key);
    }
  }
}
