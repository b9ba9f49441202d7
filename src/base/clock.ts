/**
 * The time of day, and waiting for a time of day, for what runs at certain times. Tests move a clock of
 * their own. People and time servers set the system's clock, so a time that was read may be after one
 * that is read later, by a day too. What measures how long something takes uses `performance.now()`.
 */

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /**
   * Resolves once `now()` is at or after `ms`, also where the clock was set so; once it was set back, by which
   * times to wait for may have become others; or when the signal is aborted.
   */
  until(ms: number, signal: AbortSignal): Promise<void>;
}

/** A clock that was set is noticed within this time; a timer does not follow it. */
const looksEveryMs = 20_000;

export const systemClock: Clock = {
  now: () => Date.now(),
  async until(ms, signal) {
    for (let seen = Date.now(); seen < ms && !signal.aborted;) {
      await pause(Math.min(ms - seen, looksEveryMs), signal);
      const now = Date.now();
      if (now < seen) return;
      seen = now;
    }
  },
};

/** Resolves after a time, or when the signal is aborted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, Math.ceil(ms));
    signal.addEventListener('abort', end);
  });
}
