/**
 * Why a job is broken off from outside, as the reason of its signal.
 */
import { PachError } from '../base/errors.ts';

/** Another one takes the place of the job, whose entry keeps the reason. */
export class ReplacedError extends PachError {
  constructor(what: string, why: string) {
    super('interrupted', { what, why });
  }
}

/** The engine ends, and leaves the job as it is: the next engine goes on with it, under its id. */
export class HandedOverError extends PachError {
  constructor(what: string) {
    super('interrupted', { what, why: 'the engine was ended, and the next one goes on with it' });
  }
}
