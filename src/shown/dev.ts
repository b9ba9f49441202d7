/**
 * The events of `pach dev` and `pach serve` as programs are shown them: one object each, with the name
 * of what happened in `event`.
 */
import type { DevEvent } from '../engine/dev-events.ts';
import type { RunEvent } from '../engine/events.ts';
import type { ServeEvent } from '../engine/serve-events.ts';
import { runInfo } from './run.ts';

export const devJson =
  '{event, time, …} a line: watching, started, saved, restarted, settled, specFault, fault, notice of the loop, and jobStarted, progress, planned, datumBegun, printed, datumEnded, published, waiting, note, jobEnded of its jobs; jobEnded has branch and the fields of run pipeline; other fields: src/engine/dev-events.ts, src/engine/events.ts';

export const serveJson =
  '{event, time, …} a line: listening, serving, due, superseded, taken, trouble, troubleOver, hookSent, hookFailed, ending, ended of the engine, and jobStarted, progress, planned, datumBegun, printed, datumEnded, published, waiting, note, jobEnded of its jobs; jobEnded has branch and the fields of run pipeline; other fields: src/engine/serve-events.ts, src/engine/events.ts';

export function devInfo(event: RunEvent | DevEvent | ServeEvent): object {
  const { kind, time, ...fields } = event;
  const name = kind.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const shown = { event: name, time: new Date(time).toISOString() };
  if (event.kind !== 'job-ended') return { ...shown, ...fields };
  const { job, pipeline, branch, outcome } = event;
  if ('counts' in outcome) {
    return { ...shown, branch, ...runInfo(event, outcome), ...(outcome.error && { error: outcome.error }) };
  }
  return { ...shown, branch, job, pipeline, ...outcome };
}
