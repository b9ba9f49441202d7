/**
 * What an engine does as a log: JSON lines with levels, for journals and for programs that gather logs.
 */
import { pino } from 'pino';
import type { RunEvent } from '../engine/events.ts';
import type { ServeEvent } from '../engine/serve-events.ts';
import { devInfo } from '../shown/dev.ts';

type Level = 'info' | 'warn' | 'error';

/** So often a hook is tried at once; from then on it is not just a moment. */
const triesMax = 3;

export function makeLog(write: (line: string) => void): (event: RunEvent | ServeEvent, message: string) => void {
  const options = {
    base: null,
    timestamp: false,
    formatters: { level: (level: string) => ({ level }) },
  };
  const log = pino(options, { write });
  return (event, msg) => {
    const { time, ...fields } = devInfo(event) as { readonly time: string };
    log[levelOf(event)]({ time, msg, ...fields });
  };
}

function levelOf(event: RunEvent | ServeEvent): Level {
  if (event.kind === 'trouble') return 'error';
  if (event.kind === 'hook-failed') return event.tries >= triesMax ? 'error' : 'warn';
  if (event.kind === 'taken' || event.kind === 'superseded') return 'warn';
  const isWell = event.kind !== 'job-ended' || event.outcome.state === 'success' || event.outcome.state === 'again';
  return isWell ? 'info' : 'error';
}
