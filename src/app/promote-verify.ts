/**
 * What a promotion has made again in the cluster before it moves anything: results that were made elsewhere,
 * where a spec or the user does not take them on trust.
 */
import { join } from 'node:path';
import { verifyResults } from '../engine/verify.ts';
import type { Tell } from '../engine/events.ts';
import { verifiedInfo, type VerifiedInfo } from '../shown/verified.ts';
import { ClusterSession, type ClusterChoice } from './cluster.ts';
import type { JobSession } from './job-session.ts';
import type { OpenProject } from './open.ts';
import type { PromotionPlan } from './promote-plan.ts';
import { clearLogs } from './run-pipelines.ts';
import type { Settings } from './settings.ts';

export interface VerifyRequest {
  readonly choice: ClusterChoice;
  readonly note: (line: string) => void;
  readonly progress: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Of each pipeline that is to be moved and of which something is to be made again, what came of it. */
export async function verifyPlan(
  settings: Settings,
  opened: OpenProject,
  { pipelines, place }: Pick<PromotionPlan, 'pipelines' | 'place'>,
  request: VerifyRequest,
): Promise<VerifiedInfo[]> {
  const wanted = pipelines.filter(({ difference }) => difference.verify > 0);
  if (wanted.length === 0) return [];
  const { choice, note, progress, signal } = request;
  await using session = await ClusterSession.open(settings, opened, { cluster: choice, note, secretsFrom: [] });
  const verified: VerifiedInfo[] = [];
  for (const { spec, experiment, difference } of wanted) {
    const { verify: count } = difference;
    let made = 0;
    const tell: Tell = (event) => {
      if (event.kind === 'note') note(event.line);
      if (event.kind === 'datum-ended' && event.outcome.state !== 'again') made += 1;
      progress(`${spec.name}: ${made} of ${count} results of elsewhere are made again`);
    };
    verified.push(await verifyInSession(session, { spec, experiment, place, count, tell, signal }));
  }
  return verified;
}

/** True where what was made again is not the same. */
export function isDifferent({ different, failed }: VerifiedInfo): boolean {
  return different + failed > 0;
}

/** Wherever the session's commands run. */
async function verifyInSession(
  session: JobSession,
  {
    spec,
    experiment,
    place,
    count,
    tell,
    signal,
  }: Pick<Parameters<typeof verifyResults>[0], 'spec' | 'experiment' | 'place' | 'count' | 'tell' | 'signal'>,
): Promise<VerifiedInfo> {
  const { project, settings, executor } = session;
  const masked = session.secrets.masked(tell);
  const note = (line: string): void => masked({ kind: 'note', line });
  const verified = await verifyResults({
    project,
    spec,
    async prepare(pipeline) {
      const [prepared = pipeline] = await session.prepare([pipeline], { signal, log: note });
      return prepared;
    },
    executor,
    pool: (pipeline, inputs) => session.pool(pipeline, { workers: spec.parallelism, inputs, signal, unused: note }),
    logs: (job) => settings.home.make(join(settings.home.logs, job)),
    place,
    experiment,
    count,
    signal,
    tell: masked,
  });
  await clearLogs(settings, project);
  return verifiedInfo(project, spec.name, verified);
}
