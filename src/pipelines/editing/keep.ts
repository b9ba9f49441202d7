/**
 * How many jobs of a pipeline stay, changed without its spec's file at hand.
 */
import { PachError } from '../../base/errors.ts';
import { hashOf } from '../../model/canonical.ts';
import type { Project } from '../../versions/project.ts';
import { findPipeline, setPipeline, specBytes, type Pipeline } from '../pipelines.ts';
import type { PipelineSpec } from '../spec/spec.ts';
import { newestVersion } from './versions.ts';

/** Makes a version of a pipeline that keeps so many jobs; the old ones go when the next job starts. Throws `not-found`. */
export async function keepJobs(project: Project, name: string, jobs: number): Promise<Pipeline> {
  await using begun = await project.begin();
  const before = await findPipeline(begun.snapshot, name);
  const spec = withKept(before.spec, jobs);
  const bytes = specBytes(spec);
  const [specRef] = await begun.upload.data.add([{ hash: hashOf(bytes), bytes }]);
  if (!specRef) throw new Error('a spec was not stored');
  return await project.update(
    `update pipeline ${name}`,
    async (change) => {
      const now = await findPipeline(change.snapshot, name);
      if (!now.specRef.hash.equals(before.specRef.hash)) {
        throw new PachError('conflict', {
          what: `pipeline ${name}`,
          why: 'somebody else has updated it just now',
          next: 'run the same command again',
        });
      }
      if (now.specRef.hash.equals(specRef.hash)) return now;
      const version = (await newestVersion(change.snapshot, name)) + 1;
      const pipeline = { ...now, spec, specRef, version, updated: Date.now() };
      setPipeline(change, pipeline);
      return pipeline;
    },
    begun,
  );
}

/** A spec that keeps so many jobs, in the words of its author too. */
export function withKept(spec: PipelineSpec, jobs: number): PipelineSpec {
  const { dev = {}, ...document } = spec.document as { readonly dev?: { readonly keep?: object } };
  return { ...spec, keptJobs: jobs, document: { ...document, dev: { ...dev, keep: { ...dev.keep, jobs } } } };
}
