/**
 * Garbage collection (FORMAT.md section 10), in three phases: a survey finds what no version refers
 * to, a plan says what becomes of each object, and the plan is carried out. Nothing is changed before
 * that. Others may write meanwhile: the head moves only if it is the one that was looked at, and what
 * came in between is looked at too.
 */
import { isPachError } from '../../base/errors.ts';
import type { Project } from '../project.ts';
import { carryOut, overtaken } from './gc-carry-out.ts';
import { planCollection } from './gc-plan.ts';
import { forecast, type GcResult } from './gc-result.ts';
import { Survey, type GcRequest } from './gc-survey.ts';

export interface CollectRequest extends GcRequest {
  /** Changes nothing and says what would be done. */
  readonly dryRun: boolean;
}

/** Collects a project's garbage. Throws `damaged`, deleting nothing, when a version lacks something. */
export async function collectGarbage(project: Project, request: CollectRequest): Promise<GcResult> {
  request.progress('listing objects');
  const base = await project.load();
  try {
    const survey = await Survey.of(project, base, request);
    const plan = await planCollection(survey);
    return await (plan.isIdle || request.dryRun ? forecast(plan) : carryOut(survey, plan));
  } catch (error) {
    // What another collector has deleted is no damage.
    const isOvertaken = async (): Promise<boolean> => (await project.load()).head.epoch !== base.head.epoch;
    throw isPachError(error, 'damaged', 'not-found') && (await isOvertaken()) ? overtaken(project, error) : error;
  }
}
