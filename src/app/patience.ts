/**
 * How long work that is done elsewhere waits for a store that is away: as long as a worker waits for its engine.
 * What was computed meanwhile is kept, and delivered then.
 */
import { workTimes } from '../execution/store/times.ts';
import type { Patience } from '../store/retry.ts';

/** The same for an engine that stays up. Its loop misses the store by itself, and tells so. */
export function servePatience(signal: AbortSignal): Patience {
  return storePatience(() => undefined, signal);
}

const missedMs = 3000;

/** Until `signal` is aborted. `note` is told once that the store is away, and once that it is back. */
export function storePatience(note: (line: string) => void, signal: AbortSignal): Patience {
  return {
    ms: workTimes.silenceMs,
    until: signal,
    missedMs,
    away: (error) => note(error ? `${error.message}; waiting for the store` : 'the store answers again'),
  };
}
