/**
 * What a worker elsewhere reports of a datum, as the engine would have it of a worker of its own.
 */
import type { Report } from '../../model/records/work.ts';
import type { PlannedDatum } from '../../pipelines/jobs/planned.ts';
import type { Written } from '../../results/publisher.ts';
import { datumName, type DatumFailure, type WorkEvent } from '../events.ts';

export interface Reported {
  readonly planned: PlannedDatum;
  readonly report: Report;
}

export function writtenOf({ planned, report }: Reported): Written {
  const { key, isRecheck = false } = planned;
  const { datum, outcome, tree } = report;
  return { datum, key, result: { outcome, tree }, keep: outcome.state === 'success' && !isRecheck };
}

/** What happened to the datum, but for what its commands printed: that is in the log of its result. */
export function eventsOf({ planned, report: { outcome, failures: texts = [] } }: Reported): WorkEvent[] {
  const { state, reason, stats } = outcome;
  const datum = datumName(planned);
  const begun = { kind: 'datum-begun', datum } as const;
  const failures = texts.map((text) => JSON.parse(text) as DatumFailure);
  const last = state === 'success' ? undefined : failures.pop();
  const events: WorkEvent[] = [];
  for (const failure of failures) {
    events.push(begun, { kind: 'datum-ended', datum, outcome: { state: 'again', failure } });
  }
  if (state === 'success') events.push(begun, { kind: 'datum-ended', datum, outcome: { state, stats } });
  else {
    const failure = last ?? { cause: 'said' };
    events.push(begun, { kind: 'datum-ended', datum, outcome: { state, failure, reason, stats } });
  }
  return events;
}
