/**
 * A pipeline as a spec would make it, of which nothing is published.
 */
import { randomBytes } from 'node:crypto';
import { hashOf } from '../../model/canonical.ts';
import type { Begun, Project } from '../../versions/project.ts';
import { storeCode } from '../code.ts';
import { maybePipeline, specBytes, type Pipeline } from '../pipelines.ts';
import type { PipelineSpec } from '../spec/spec.ts';

export interface DraftOptions {
  /** As with `SetOptions`: results so far are not taken any more. */
  readonly reprocess: boolean;
  /** As it would be on this branch, beside production. */
  readonly branch?: string | undefined;
  readonly signal: AbortSignal;
}

/** Its code is readable as long as `begun`, which is never published. */
export async function draftOf(
  project: Project,
  { snapshot, upload }: Begun,
  spec: PipelineSpec,
  { reprocess, branch, signal }: DraftOptions,
): Promise<Pipeline> {
  const before = (await maybePipeline(snapshot, spec.name, branch)) ?? (await maybePipeline(snapshot, spec.name));
  const now = Date.now();
  return {
    name: spec.name,
    spec,
    specRef: { type: 'chunk', hash: hashOf(specBytes(spec)) },
    code: await storeCode(project, upload, spec.code, { signal, skipped: () => undefined }),
    codeOrigin: '',
    version: 0,
    created: now,
    updated: now,
    stopped: false,
    salt: reprocess ? randomBytes(8).toString('hex') : (before?.salt ?? ''),
  };
}
