/**
 * The variables that a command sees, those of Pachyderm. Which of them are part of a datum's key, and
 * why the others are not, is in a table in ARCHITECTURE.md: a new one belongs there too.
 */
import type { JobId } from '../../model/records/pipelines.ts';
import type { Datum } from '../../pipelines/datums/datum.ts';
import type { PipelineSpec } from '../../pipelines/spec/spec.ts';

export interface JobNames {
  readonly job: JobId;
  readonly project: string;
  /** 64 hex digits: of the spec as it is stored. */
  readonly specHash: string;
}

type Variables = Readonly<Record<string, string>>;

/** The same for all datums of a job. */
export function jobVariables(spec: PipelineSpec, { job, project, specHash }: JobNames): Variables {
  return {
    ...spec.transform.env,
    PACH_JOB_ID: job,
    PACH_OUTPUT_COMMIT_ID: job,
    PPS_PIPELINE_NAME: spec.name,
    PPS_PROJECT_NAME: project,
    PPS_SPEC_COMMIT: specHash.slice(0, 32),
  };
}

export function datumVariables(datum: Datum): Variables {
  const variables: Record<string, string> = { PACH_DATUM_ID: datum.id };
  for (const { input, path, commit, joinOn, groupBy } of datum.files) {
    variables[input.name] = `/pfs/${input.name}${path === '/' ? '' : path}`;
    variables[`${input.name}_COMMIT`] = commit;
    if (joinOn !== undefined) variables[`PACH_DATUM_${input.name}_JOIN_ON`] = joinOn;
    if (groupBy !== undefined) variables[`PACH_DATUM_${input.name}_GROUP_BY`] = groupBy;
  }
  return variables;
}
