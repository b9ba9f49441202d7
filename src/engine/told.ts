/**
 * How far a job has come, as its events have it.
 */
import type { Tell } from './events.ts';

export class Told {
  hasStarted = false;
  hasEnded = false;
  readonly tell: Tell;

  constructor(tell: Tell) {
    this.tell = (event) => {
      if (event.kind === 'job-started') this.hasStarted = true;
      if (event.kind === 'job-ended')
        this.hasEnded = event.outcome.state !== 'unfinished' && event.outcome.state !== 'again';
      tell(event);
    };
  }
}
